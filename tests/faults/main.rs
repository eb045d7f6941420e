//! What may go wrong, for real: on a lab of three control planes and two workers, things break at the
//! worst moment, and the next apply must end in the same cluster. Needs root and the bundle.
//!
//! `cargo test --test faults` runs the cases marked `often`; with `SLIPWAY_SWEEP=all` all of them
//! run, those that passed at this commit are not run again, and `docs/faults.md` is written.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, prints its figures, starts commands and waits for conditions"
)]
#![allow(dead_code, reason = "shares its support with the tests of whole clusters")]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod edits;
mod interruptions;
mod lab_cluster;
mod membership;
mod preflight;
mod report;
mod running;

use lab_cluster::LabCluster;
use support::Turn;

/// One thing that goes wrong.
pub struct Case {
    /// Its name, also of the row in the report.
    pub name: &'static str,
    /// What goes wrong.
    pub fault: &'static str,
    /// What slipway does then.
    pub answer: &'static str,
    /// Whether `make test` runs it.
    pub often: bool,
    /// What the lab is at its begin.
    pub start: Start,
    /// Breaks it and looks; panics when slipway does anything else. Gives figures worth telling.
    pub run: fn(&LabCluster) -> String,
}

/// All cases, as the report shows them.
pub const CASES: &[&[Case]] =
    &[preflight::CASES, interruptions::CASES, membership::CASES, edits::CASES, attacks::CASES];

/// What the lab is when a case begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// Machines that have never seen slipway.
    Bare,
    /// A whole cluster.
    Whole,
}

#[test]
fn what_goes_wrong_is_mended_by_the_next_apply() {
    let all = std::env::var("SLIPWAY_SWEEP").is_ok_and(|which| which == "all");
    let mut cases: Vec<&Case> =
        CASES.iter().copied().flatten().filter(|case| all || case.often).collect();
    // Making a cluster takes longest.
    cases.sort_by_key(|case| case.start);
    let only = std::env::var("SLIPWAY_FAULT").unwrap_or_default();
    cases.retain(|case| only.split(',').any(|part| case.name.contains(part)));
    let mut report = report::Report::open(all);
    cases.retain(|case| !report.has_passed(case));
    if !cases.is_empty() {
        let _turn = Turn::take();
        let mut cluster = LabCluster::up(all);
        for case in cases {
            let result = cluster.attempt(case);
            report.add(case, result);
        }
    }
    report.end();
}
