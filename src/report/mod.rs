//! What people and programs see: the plan before a run, events during it, a timeline after it.
//!
//! Reporters decide what to show and how; [`crate::event`] says what happened.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Plan;
use crate::event::Sink;

mod fancy;
mod findings;
mod json;
mod plain;
mod plan;
mod radius;
mod timeline;

pub use fancy::Fancy;
pub use findings::findings_text;
pub use json::Json;
pub use plain::Plain;
pub use plan::{View, plan_json, plan_text};
pub use timeline::Recorder;

/// How results and events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object per line, on standard output.
    Json,
}

/// The reporter for `format`; `terminal` is whether standard error is one.
#[must_use]
pub fn sink(format: Format, terminal: bool) -> Arc<dyn Sink> {
    match (format, terminal) {
        (Format::Json, _) => Arc::new(Json::new(std::io::stdout())),
        (Format::Text, true) => Arc::new(Fancy::new()),
        (Format::Text, false) => Arc::new(Plain::new(std::io::stderr())),
    }
}

/// `count` and `noun`, in the singular or the plural.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Nodes of a plan by their names; all of them by their number.
fn names(plan: &Plan, nodes: &[&str]) -> String {
    match nodes.len() {
        count if count > 2 && count == plan.nodes.len() => format!("all {count} nodes"),
        _ => nodes.join(", "),
    }
}

/// `0.4 s`, `12 s`, `3 min 20 s`: as precise as anyone cares about.
fn short(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, 0..10) => format!("{:.1} s", time.as_secs_f64()),
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_read_well() {
        let times =
            [400, 9_940, 12_400, 120_000, 200_900].map(|ms| short(Duration::from_millis(ms)));
        assert_eq!(times, ["0.4 s", "9.9 s", "12 s", "2 min", "3 min 20 s"]);
        assert_eq!((counted(1, "node"), counted(2, "node")), ("1 node".into(), "2 nodes".into()));
    }
}
