//! `docs/faults.md`: results are written there as they come, and read back, so that a sweep goes on where
//! it stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::support::run;
use super::{CASES, Case};

/// Before the table.
const HEAD: &str = "# What may go wrong

Written by `make sweep`: on a lab of three control planes and two workers, each thing goes wrong for real,
and afterwards the cluster is the one that an undisturbed apply makes: every node Ready, every pod running,
three voting etcd members, the same CA, and one more apply changes nothing. The cases are in
`tests/faults/`. `make test` runs some of them, too, on its cluster of five machines.

| case | what goes wrong | what slipway does | `make test` | result | commit | day |
|---|---|---|---|---|---|---|
";

pub struct Report {
    commit: String,
    rows: BTreeMap<String, Row>,
    /// Of this run.
    failed: Vec<&'static str>,
}

struct Row {
    /// `passed` or `**failed**`, the seconds it took, and figures or why it failed.
    result: String,
    commit: String,
    day: String,
}

/// How a case ended: its figures and the seconds it took, or why it failed.
pub type Ended = (Result<String, String>, u64);

impl Report {
    pub fn open() -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let git = |args: &[&str]| run("git", &[&["-C", root], args].concat(), "").stdout;
        let commit = git(&["rev-parse", "--short", "HEAD"]).trim().to_owned();
        let changed = git(&["status", "--porcelain", "--", "src", "templates", "bundle", "tests"]);
        let commit = if changed.is_empty() { commit } else { format!("{commit} with changes") };
        let text = fs::read_to_string(page()).unwrap_or_default();
        Self { commit, rows: text.lines().filter_map(read).collect(), failed: Vec::new() }
    }

    pub fn has_passed(&self, case: &Case) -> bool {
        let row = self.rows.get(case.name);
        row.is_some_and(|row| row.commit == self.commit && row.result.starts_with("passed"))
    }

    pub fn add(&mut self, case: &'static Case, (result, seconds): Ended) {
        let word = if result.is_ok() { "passed" } else { "**failed**" };
        let text = result.unwrap_or_else(|why| {
            self.failed.push(case.name);
            why
        });
        println!("{}: {word} in {seconds} s: {text}", case.name);
        let first = text.lines().next().unwrap_or_default().replace('|', "/");
        let colon = if first.is_empty() { "" } else { ": " };
        let row = Row {
            result: format!("{word}, {seconds} s{colon}{first}"),
            commit: self.commit.clone(),
            day: jiff::Timestamp::now().strftime("%F").to_string(),
        };
        self.rows.insert(case.name.to_owned(), row);
        self.write();
    }

    /// Fails if any case of this run did.
    pub fn end(&self) {
        assert!(self.failed.is_empty(), "{} cases failed: {:?}", self.failed.len(), self.failed);
    }

    fn write(&self) {
        let mut text = HEAD.to_owned();
        for case in CASES.iter().copied().flatten() {
            let Case { name, fault, answer, often, .. } = case;
            let often = if *often { "runs it" } else { "" };
            let row = self.rows.get(*name);
            let (result, commit, day) = row.map_or(("not run", "", ""), |row| {
                (row.result.as_str(), row.commit.as_str(), row.day.as_str())
            });
            let cells = [name, fault, answer, often, result, commit, day].join(" | ");
            text.push_str(&format!("| {cells} |\n"));
        }
        fs::write(page(), text).unwrap();
    }
}

/// The name of a case and its row, out of a line of the table.
fn read(line: &str) -> Option<(String, Row)> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let &[name, _, _, _, result, commit, day] = cells.as_slice() else { return None };
    let [result, commit, day] = [result, commit, day].map(str::to_owned);
    Some((name.to_owned(), Row { result, commit, day }))
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md")
}
