//! `slipway apply`: brings the machines to the state that the inventory describes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::run::{self, Options};
use super::{say, say_error};
use crate::diagnostic::{Error, Kind, Result};
use crate::engine::{Outcome, Plan};
use crate::event::{Event, Sink};
use crate::inventory::Inventory;
use crate::report::Format;
use crate::session::{Purpose, Session};
use crate::state::{LastApply, Saved};

/// Bring the machines to the state that the inventory describes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
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
    let purpose = args.options.selected(Purpose::APPLY)?;
    let recorder = args.options.events();
    let events: Arc<dyn Sink> = recorder.clone();
    let mut session = Session::open(args.inventory(), purpose, run::trust(), &events).await?;
    if let Some(saved) = &saved {
        let done = saved.check(&session.saved())?;
        let all = saved.announced();
        say_error(format_args!(
            "the saved plan holds; {done} of its {all} changes are done already"
        ));
    }
    args.options.show_plan(&session.plan, session.last_apply().as_ref());
    let agreed = |plan: &Plan| plan.changes() == 0 || args.yes || saved.is_some() || agrees();
    let permit = session.plan.confirm(agreed).ok_or_else(|| {
        Error::new(Kind::Declined, "nothing was changed")
            .hint("answer `yes`, or give --yes where there is no terminal")
    })?;
    session.keep()?;
    let outcome = session.apply(permit, &events).await;
    events.take(Event::RunFinished {
        changed: outcome.changed,
        failed: outcome.failures.len() + outcome.held_back.len(),
        millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    let text = args.options.output == Format::Text;
    if text && outcome.changed > 0 {
        say_error(recorder.timeline(60).trim_end());
    }
    if let Some(worst) = show_failures(&session.inventory, &outcome) {
        return Ok(ExitCode::from(worst.exit_code()));
    }
    if let Some((took, steps)) = recorder.times().filter(|_| !purpose.partial) {
        let last = LastApply::now(outcome.changed, took, &steps);
        // Nothing depends on it.
        session.note_apply(&last).unwrap_or_else(say_error);
    }
    let kubeconfig = session.write_kubeconfig()?;
    // Standard output is for programs alone where they asked for it.
    let tell: fn(String) = if text { say } else { say_error };
    let of = if purpose.partial { "the selected steps of " } else { "" };
    let matches = if purpose.partial { "match" } else { "matches" };
    tell(format!(
        "{of}{} {matches} its inventory: {} changes in {:.1} s\nkubeconfig: {}",
        session.context.cluster.name,
        outcome.changed,
        began.elapsed().as_secs_f64(),
        kubeconfig.display(),
    ));
    Ok(ExitCode::SUCCESS)
}

/// Shows every failure with its place in the inventory; gives the kind of the first.
fn show_failures(inventory: &Inventory, outcome: &Outcome) -> Option<Kind> {
    for (node, step, error) in &outcome.failures {
        let label = format!("step {step} failed");
        let mut error = error.clone();
        if let Some(excerpt) = inventory.excerpt(node, &label) {
            error = error.snippet(excerpt);
        }
        say_error(error);
    }
    for (node, step, why) in &outcome.held_back {
        say_error(format!("{node}: step {step} was not attempted: {why}"));
    }
    outcome.failures.first().map(|(_, _, error)| error.kind())
}

fn agrees() -> bool {
    if !run::interactive() {
        return false;
    }
    let mut terminal = std::io::stderr();
    let _ = write!(terminal, "Apply this? [yes/no] ");
    let _ = terminal.flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}
