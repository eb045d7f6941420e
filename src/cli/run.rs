//! What runs have in common: their options, how they show a plan, and how they carry it out.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use super::{InventoryArg, say, say_error};
use crate::diagnostic::{Error, Kind, Result};
use crate::engine::{Outcome, Plan};
use crate::event::{Event, Sink};
use crate::host::{Ask, Refuse, Trust};
use crate::inventory::Inventory;
use crate::report::{self, Format, Recorder, View};
use crate::session::{Given, Purpose, Session};
use crate::state::LastApply;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) inventory: InventoryArg,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    pub(super) output: Format,
    /// Show diffs in full
    #[arg(long)]
    full: bool,
}

/// What a person agrees to beforehand.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Consent {
    /// Drain past this disruption budget: its pods are deleted, not evicted, so that it is not asked
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = budget)]
    past_budget: Vec<String>,
}

impl Consent {
    /// The inventory, with what was agreed to.
    pub(super) fn given(self, file: &std::path::Path) -> Result<Given> {
        let mut given = Given::read(file)?;
        given.inventory.cluster.drain.past = self.past_budget;
        Ok(given)
    }
}

/// A namespace and a name, as Kubernetes writes them.
fn budget(text: &str) -> std::result::Result<String, String> {
    let of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let name =
        |name: &str| !name.is_empty() && name.chars().all(of_a_name) && !name.starts_with('-');
    match text.split_once('/') {
        Some((namespace, budget)) if name(namespace) && name(budget) => Ok(text.to_owned()),
        _ => Err("write NAMESPACE/NAME, as `kubectl get poddisruptionbudgets --all-namespaces` shows them".to_owned()),
    }
}

/// Which steps a run goes through.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Run only these steps; the others are neither compared nor changed
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<String>,
    /// Run without these steps
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    skip: Vec<String>,
}

impl Selection {
    /// `purpose`, as far as steps were selected.
    pub(super) fn of(&self, purpose: Purpose) -> Result<Purpose> {
        purpose.select(&self.only, &self.skip)
    }
}

impl Options {
    /// Shows events, and records how long each step takes.
    pub(super) fn events(&self) -> Arc<Recorder> {
        let shown = report::sink(self.output, std::io::stderr().is_terminal());
        Arc::new(Recorder::new(shown))
    }

    pub(super) fn show_plan(&self, plan: &Plan, last: Option<&LastApply>) {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        match self.output {
            Format::Text => say(report::plan_text(plan, last, View { colour, full: self.full })),
            Format::Json => say(report::plan_json(plan, last)),
        }
    }

    /// Shows the result on standard output, or beside it where that is for programs alone.
    pub(super) fn tell(&self, result: String) {
        match self.output {
            Format::Text => say(result),
            Format::Json => say_error(result),
        }
    }

    /// Shows the session's plan, asks a person unless that was `agreed` before, and carries it out. Shows what
    /// failed, and how long the command took that `began` then.
    pub(super) async fn carry_out(
        &self,
        session: &mut Session,
        recorder: &Arc<Recorder>,
        began: Instant,
        agreed: bool,
    ) -> Result<Carried> {
        let events: Arc<dyn Sink> = recorder.clone();
        self.show_plan(&session.plan, session.last_apply().as_ref());
        let agrees = |plan: &Plan| plan.changes() == 0 || agreed || agrees();
        let permit = session.plan.confirm(agrees).ok_or_else(|| {
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
        if self.output == Format::Text && outcome.changed > 0 {
            say_error(recorder.timeline(60).trim_end());
        }
        let failed = show_failures(&session.inventory, &outcome);
        let connects = |(_, step, _): &(String, &str, Error)| *step == "connect";
        let went = outcome.held_back.is_empty() && outcome.failures.iter().all(connects);
        Ok(Carried { changed: outcome.changed, failed, went })
    }
}

/// What came of a plan.
pub(super) struct Carried {
    /// Resources that were changed.
    pub(super) changed: usize,
    /// The kind of the first failure, if anything failed.
    pub(super) failed: Option<Kind>,
    /// Whether all of it was carried out, but for nodes that were not reached.
    pub(super) went: bool,
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
    if !interactive() {
        return false;
    }
    let mut terminal = std::io::stderr();
    let _ = write!(terminal, "Apply this? [yes/no] ");
    let _ = terminal.flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

/// Whether there is a terminal, so that a person can be asked.
pub(super) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

pub(super) fn trust() -> Arc<dyn Trust> {
    if interactive() { Arc::new(Ask::default()) } else { Arc::new(Refuse) }
}
