//! What `plan` and `apply` have in common: their options and how they show things.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::{InventoryArg, say};
use crate::engine::Plan;
use crate::event::{Event, Sink};
use crate::host::{Ask, Refuse, Trust};

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object per line.
    Json,
}

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) inventory: InventoryArg,
    /// How results are shown
    #[arg(short, long, value_enum, default_value = "text")]
    pub(super) output: Format,
    /// Write a detailed log to this file (0600; secrets are masked)
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) log_file: Option<PathBuf>,
}

struct Lines(std::time::Instant);

impl Sink for Lines {
    fn take(&self, event: Event) {
        super::say_error(format!("{:6.1} {event:?}", self.0.elapsed().as_secs_f64()));
    }
}

impl Options {
    pub(super) fn events(&self) -> Arc<dyn Sink> {
        Arc::new(Lines(std::time::Instant::now()))
    }

    pub(super) fn show_plan(&self, plan: &Plan) {
        for node in &plan.nodes {
            for step in &node.steps {
                for one in &step.resources {
                    say(format!("{} {} {}: {}", node.node, step.step, one.id, one.diff.summary));
                }
            }
        }
        say(format!("{} changes", plan.changes()));
    }
}

/// Whether somebody is there to be asked.
pub(super) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

pub(super) fn trust() -> Arc<dyn Trust> {
    if interactive() { Arc::new(Ask::default()) } else { Arc::new(Refuse) }
}
