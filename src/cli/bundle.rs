//! `slipway bundle`: build, verify and list what clusters are made of.

use std::process::ExitCode;

use crate::diagnostic::Result;

/// Build, verify and list what clusters are made of.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
