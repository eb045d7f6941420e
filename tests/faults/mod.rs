//! What may go wrong, for real: on a lab of three control planes and two workers, things break at the
//! worst moment, and the next apply must end in the same cluster.
//!
//! `make test` runs the cases marked `often`, each on the cluster of five machines as it is then. `make
//! sweep` runs all of them on a lab of its own, but for those that passed at this commit, and writes
//! `docs/faults.md`.

use super::support;

mod attacks;
mod edits;
mod interruptions;
pub mod lab_cluster;
mod membership;
mod network;
mod preflight;
mod removal;
mod report;
mod running;
mod settings;

use lab_cluster::LabCluster;
use report::Report;

/// One thing that goes wrong.
pub struct Case {
    /// Its name, also of the row in the report.
    pub name: &'static str,
    /// What goes wrong.
    pub fault: &'static str,
    /// What slipway does then.
    pub answer: &'static str,
    /// Whether `make test` runs it. Then it leaves the lab as it found it.
    pub often: bool,
    /// What the lab is at its begin.
    pub start: Start,
    /// Breaks it and looks; panics when slipway does anything else. Gives figures worth telling.
    pub run: fn(&LabCluster) -> String,
}

impl Case {
    /// Also run by `make test`.
    const fn often(mut self) -> Self {
        self.often = true;
        self
    }
}

/// All cases, as the report shows them.
const CASES: &[&[Case]] = &[
    preflight::CASES,
    interruptions::CASES,
    membership::CASES,
    removal::CASES,
    edits::CASES,
    attacks::CASES,
    network::CASES,
    settings::CASES,
];

/// What the lab is when a case begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// Machines that have never seen slipway.
    Bare,
    /// A whole cluster.
    Whole,
}

/// Runs the cases that `make test` runs and that begin so; the first that fails ends it.
pub fn often(cluster: &LabCluster, start: Start) {
    for case in CASES.iter().copied().flatten().filter(|case| case.often && case.start == start) {
        support::part(case.name, || println!("{}", (case.run)(cluster)));
    }
}

/// Runs all cases; `SLIPWAY_FAULT` may name some, separated by commas. Fails at the end if any did.
pub fn sweep() {
    let mut cases: Vec<&Case> = CASES.iter().copied().flatten().collect();
    // Making a cluster takes longest.
    cases.sort_by_key(|case| case.start);
    let only = std::env::var("SLIPWAY_FAULT").unwrap_or_default();
    cases.retain(|case| only.split(',').any(|part| case.name.contains(part)));
    let mut report = Report::open();
    cases.retain(|case| !report.has_passed(case));
    if !cases.is_empty() {
        let mut cluster = LabCluster::up("t-faults");
        cluster.keep_bare();
        for case in cases {
            let result = support::part(case.name, || cluster.attempt(case));
            report.add(case, result);
        }
    }
    report.end();
}
