//! `slipway version`: this program and what it can install.

use std::process::ExitCode;

use super::say;
use crate::bundle::VERSIONS;

pub(super) fn run() -> ExitCode {
    say(format!("slipway {}", env!("CARGO_PKG_VERSION")));
    say(format!("Kubernetes {}", VERSIONS.join(", ")));
    ExitCode::SUCCESS
}
