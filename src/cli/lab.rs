//! `slipway lab`: nodes on this machine.

use std::process::ExitCode;

use crate::diagnostic::Result;

/// Make, look at and take down nodes on this machine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
