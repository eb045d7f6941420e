//! Results: kept as they come, so that a sweep goes on where it stopped; and the page they make.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::support::{run, target};
use super::{CASES, Case};

pub struct Report {
    all: bool,
    commit: String,
    results: BTreeMap<String, Row>,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Row {
    commit: String,
    passed: bool,
    /// Figures, or why it failed.
    text: String,
    seconds: u64,
}

/// How a case ended: its figures and the seconds it took, or why it failed.
pub type Ended = (Result<String, String>, u64);

impl Report {
    pub fn open(all: bool) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let git = |args: &[&str]| run("git", &[&["-C", root], args].concat(), "").stdout;
        let commit = git(&["rev-parse", "--short", "HEAD"]).trim().to_owned();
        let changed = git(&["status", "--porcelain", "--", "src", "templates", "bundle", "tests"]);
        let commit = if changed.is_empty() { commit } else { format!("{commit} with changes") };
        let kept = fs::read_to_string(kept()).unwrap_or_default();
        let results =
            if all { serde_json::from_str(&kept).unwrap_or_default() } else { BTreeMap::new() };
        Self { all, commit, results }
    }

    pub fn has_passed(&self, case: &Case) -> bool {
        self.results.get(case.name).is_some_and(|row| row.passed && row.commit == self.commit)
    }

    pub fn add(&mut self, case: &Case, (result, seconds): Ended) {
        let passed = result.is_ok();
        let text = result.unwrap_or_else(|why| why);
        println!(
            "{}: {} in {seconds} s: {text}",
            case.name,
            if passed { "passed" } else { "FAILED" }
        );
        let row = Row { commit: self.commit.clone(), passed, text, seconds };
        self.results.insert(case.name.to_owned(), row);
        if self.all {
            fs::write(kept(), serde_json::to_string_pretty(&self.results).unwrap()).unwrap();
            self.page();
        }
    }

    /// Fails if any case of this run did.
    pub fn end(&self) {
        let failed: Vec<_> = self.results.iter().filter(|(_, row)| !row.passed).collect();
        let names: Vec<&String> = failed.iter().map(|(name, _)| *name).collect();
        assert!(
            failed.is_empty(),
            "{} of {} cases failed: {names:?}",
            failed.len(),
            self.results.len()
        );
        println!("{} cases passed", self.results.len());
    }

    fn page(&self) {
        let mut text = format!(
            "# What may go wrong\n\n\
             Written by `make sweep` on {}, commit {}: on a lab of three control planes and two workers,\n\
             each thing goes wrong for real, and afterwards the cluster is the one that an undisturbed\n\
             apply makes: every node Ready, every pod running, three voting etcd members, the same CA,\n\
             and one more apply changes nothing. The cases are in `tests/faults/`.\n\n\
             | case | what goes wrong | what slipway does | result |\n|---|---|---|---|\n",
            jiff::Timestamp::now().strftime("%F"),
            self.commit,
        );
        for case in CASES.iter().copied().flatten() {
            let result = match self.results.get(case.name) {
                None => "not run".to_owned(),
                Some(row) => {
                    let word = if row.passed { "passed" } else { "**failed**" };
                    let first = row.text.lines().next().unwrap_or_default().replace('|', "\\|");
                    let old = if row.commit == self.commit {
                        String::new()
                    } else {
                        format!(" (at {})", row.commit)
                    };
                    format!(
                        "{word}{old}, {} s{}{first}",
                        row.seconds,
                        if first.is_empty() { "" } else { ": " }
                    )
                }
            };
            text.push_str(&format!(
                "| {} | {} | {} | {result} |\n",
                case.name, case.fault, case.answer
            ));
        }
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md"), text).unwrap();
    }
}

fn kept() -> PathBuf {
    target().join("faults.json")
}
