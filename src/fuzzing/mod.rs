//! Everything that slipway reads and did not write, open to a fuzzer: `fuzz/` feeds these functions,
//! each with one kind of input, and the unit tests feed them the seeds in `fuzz/seeds/`.
//!
//! Beside not panicking, what comes of an input must be bounded by its size and must not steer a
//! terminal. Compiled for tests and fuzzers only.
//!
//! To add a target: a function, its line in [`TARGETS`], and at least one seed.

use crate::diagnostic::Error;

mod approver;
mod files;
mod keys;
mod node;
mod survey;

/// A kind of input, and what reads it.
pub struct Target {
    /// Its name: that of its folder of seeds, too.
    pub name: &'static str,
    /// What it feeds, in words.
    pub about: &'static str,
    /// Takes whatever a fuzzer gives.
    pub feed: fn(&[u8]),
}

const fn target(name: &'static str, about: &'static str, feed: fn(&[u8])) -> Target {
    Target { name, about, feed }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("csr", "the approver: kubectl's stream of requests, and PKCS#10", approver::csr),
    target("facts", "the survey, membership, and all of preflight's checks", survey::facts),
    target("frames", "taking apart the answers to one look", survey::frames),
    target("inventory", "inventories", files::inventory),
    target(
        "known_hosts",
        "files of known hosts, and the key that a host shows",
        files::known_hosts,
    ),
    target("manifest", "the bundle's manifest, `slipway.lock`", files::manifest),
    target("node_output", "every resource: comparison, commands, plan, errors", node::node_output),
    target("plan", "saved plans, `last-apply.json`", files::plan),
    target("state", "`state.json`, keys and certificates", keys::state),
];

/// What comes of an input of so many bytes is not much larger: as many again for each time that it
/// is shown, each of them perhaps an escape, and what frames it.
fn bounded(size: usize, input: usize) {
    assert!(size <= (64 << 10) + 16 * input, "{size} bytes come of {input}");
}

/// As [`bounded`], for an error as people see it.
fn harmless(error: &Error, input: usize) {
    shown(&error.to_string(), input);
}

/// As [`bounded`], for what people see on their terminal, which does no more than show it in lines.
fn shown(text: &str, input: usize) {
    bounded(text.len(), input);
    let steers = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || (c.is_control() && c != '\n' && c != '\t')
    };
    assert!(!text.contains(steers), "{text:?}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn listed(dir: &str) -> Vec<PathBuf> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(dir);
        let entries = std::fs::read_dir(&dir).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn every_target_takes_its_seeds() {
        for target in TARGETS {
            let seeds = listed(target.name);
            assert!(!seeds.is_empty(), "{} has no seed", target.name);
            seeds.iter().for_each(|seed| (target.feed)(&std::fs::read(seed).unwrap()));
        }
    }

    #[test]
    fn every_folder_of_seeds_has_its_target() {
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let folders: BTreeSet<String> = listed("").iter().map(name).collect();
        let names: BTreeSet<String> = TARGETS.iter().map(|one| one.name.to_owned()).collect();
        assert_eq!(folders, names);
    }
}
