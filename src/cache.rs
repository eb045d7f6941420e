//! Where slipway keeps what it can make again: node images, downloads, built binaries.

use std::path::PathBuf;

/// `$SLIPWAY_CACHE`, or `~/.cache/slipway`.
#[must_use]
pub fn dir() -> PathBuf {
    std::env::var_os("SLIPWAY_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
            PathBuf::from(home).join(".cache/slipway")
        },
        PathBuf::from,
    )
}
