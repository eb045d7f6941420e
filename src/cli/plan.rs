//! `slipway plan`: what an apply would change.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::run::{self, Consent, Options, Selection};
use super::{say_error, tell_unreachable};
use crate::diagnostic::Result;
use crate::event::Sink;
use crate::session::{Purpose, Session};

/// The exit code of `--exit-code` for a plan with changes.
const CHANGES: u8 = 2;

/// Show what an apply would change, without changing anything
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    steps: Selection,
    #[command(flatten)]
    consent: Consent,
    /// Save the plan in this file (0600), for `slipway apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 2 when there are changes, with 0 when there are none
    #[arg(long)]
    exit_code: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let events: Arc<dyn Sink> = args.options.events();
    let purpose = args.steps.of(Purpose::PLAN)?;
    let given = args.consent.given(&args.options.inventory.inventory)?;
    let session = Session::open(given, purpose, run::trust(), &events).await?;
    args.options.show_plan(&session.plan, session.last_apply().as_ref());
    if let Some(path) = &args.out {
        session.saved().write(path)?;
        let (path, inventory) = (path.display(), args.options.inventory.as_argument());
        say_error(format_args!(
            "saved: `slipway apply {inventory}{path}` carries out exactly this plan"
        ));
    }
    if let Some(code) = tell_unreachable(&session.unreachable) {
        return Ok(code);
    }
    let differs = session.plan.changes() > 0;
    Ok(if args.exit_code && differs { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS })
}
