//! What `plan` and `apply` have in common: their options and how they show things.

use std::io::IsTerminal as _;
use std::sync::Arc;

use super::{InventoryArg, say};
use crate::diagnostic::Result;
use crate::engine::Plan;
use crate::host::{Ask, Refuse, Trust};
use crate::report::{self, Format, Recorder, View};
use crate::session::Purpose;
use crate::state::LastApply;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) inventory: InventoryArg,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    pub(super) output: Format,
    /// Run only these steps; the others are neither compared nor changed
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<String>,
    /// Run without these steps
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    skip: Vec<String>,
    /// Show diffs in full
    #[arg(long)]
    full: bool,
}

impl Options {
    /// Shows events, and records how long each step takes.
    pub(super) fn events(&self) -> Arc<Recorder> {
        let shown = report::sink(self.output, std::io::stderr().is_terminal());
        Arc::new(Recorder::new(shown))
    }

    /// `purpose`, as far as steps were selected.
    pub(super) fn selected(&self, purpose: Purpose) -> Result<Purpose> {
        purpose.select(&self.only, &self.skip)
    }

    pub(super) fn show_plan(&self, plan: &Plan, last: Option<&LastApply>) {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        match self.output {
            Format::Text => say(report::plan_text(plan, last, View { colour, full: self.full })),
            Format::Json => say(report::plan_json(plan, last)),
        }
    }
}

/// Whether there is a terminal, so that a person can be asked.
pub(super) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

pub(super) fn trust() -> Arc<dyn Trust> {
    if interactive() { Arc::new(Ask::default()) } else { Arc::new(Refuse) }
}
