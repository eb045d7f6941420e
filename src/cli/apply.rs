//! `slipway apply`: brings the machines to the state that the inventory describes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::run::{self, Consent, Options, Selection};
use super::say_error;
use crate::diagnostic::Result;
use crate::event::Sink;
use crate::session::{Purpose, Session};
use crate::state::{LastApply, Saved};

/// Bring the machines to the state that the inventory describes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    steps: Selection,
    #[command(flatten)]
    consent: Consent,
    /// A plan saved by `slipway plan --out`: carry out exactly that plan, without asking
    #[arg(value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Do not ask before changing anything
    #[arg(short, long)]
    yes: bool,
}

impl Args {
    /// The inventory that it is about.
    pub(super) fn inventory(&self) -> &Path {
        &self.options.inventory.inventory
    }
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let began = Instant::now();
    let saved = args.plan.as_deref().map(Saved::read).transpose()?;
    let purpose = args.steps.of(Purpose::APPLY)?;
    let recorder = args.options.events();
    let events: Arc<dyn Sink> = recorder.clone();
    let given = args.consent.given(&args.options.inventory.inventory)?;
    let mut session = Session::open(given, purpose, run::trust(), &events).await?;
    if let Some(saved) = &saved {
        let done = saved.check(&session.saved())?;
        let all = saved.announced();
        say_error(format_args!(
            "the saved plan holds; {done} of its {all} changes are done already"
        ));
    }
    let agreed = args.yes || saved.is_some();
    let carried = args.options.carry_out(&mut session, &recorder, began, agreed).await?;
    if let Some(worst) = carried.failed {
        return Ok(ExitCode::from(worst.exit_code()));
    }
    let partial = session.plan.is_partial();
    if let Some((took, steps)) = recorder.times().filter(|_| !partial) {
        let last = LastApply::now(carried.changed, took, &steps);
        // Nothing depends on it.
        session.note_apply(&last).unwrap_or_else(say_error);
    }
    let kubeconfig = session.write_kubeconfig()?;
    let name = &session.context.cluster.name;
    let matches = match partial {
        true => format!("the selected steps of {name} match"),
        false => format!("{name} matches"),
    };
    args.options.tell(format!(
        "{matches} its inventory: {} changes in {:.1} s\nkubeconfig: {}",
        carried.changed,
        began.elapsed().as_secs_f64(),
        kubeconfig.display(),
    ));
    Ok(ExitCode::SUCCESS)
}
