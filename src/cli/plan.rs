//! `slipway plan`: what an apply would change.

use std::process::ExitCode;
use std::sync::Arc;

use super::run::{self, Options};
use crate::diagnostic::Result;
use crate::event::Sink;
use crate::session::{Run, Session};

/// Show what an apply would change, and change nothing
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let events: Arc<dyn Sink> = args.options.events();
    let trust = run::trust();
    let session =
        Session::begin(&args.options.inventory.inventory, Run::Plan, trust, &events).await?;
    args.options.show_plan(&session.plan);
    Ok(ExitCode::SUCCESS)
}
