//! The detailed log, for the day something goes wrong. Secrets cannot reach it: they have no text.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::diagnostic::{Error, Kind, Result};

/// Starts writing to `path`, which only its owner may read. `SLIPWAY_LOG` sets what is written, in
/// the form of tracing's directives; `slipway=debug` unless given.
pub(super) fn start(path: &Path) -> Result<()> {
    let unusable = |e: &dyn std::fmt::Display| {
        Error::new(Kind::Machine, format!("cannot log to {}: {e}", path.display()))
    };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.map_err(|e| unusable(&e))?;
    let filter = EnvFilter::try_from_env("SLIPWAY_LOG");
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("slipway=debug")))
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .try_init()
        .map_err(|e| unusable(&e))
}
