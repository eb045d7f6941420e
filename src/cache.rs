//! The cache directory of this user, shared by builds, labs and tests.

use std::path::PathBuf;

/// `$SLIPWAY_CACHE`, else `$HOME/.cache/slipway`. Nothing in it is precious: deleting it costs time.
#[must_use]
pub fn dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("SLIPWAY_CACHE").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(".cache/slipway")
}
