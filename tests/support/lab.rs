//! A lab for one test, and slipway's runs against it.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::kube::Kube;
use super::{Ran, figure, run, shown};

/// slipway as it was built for this test.
pub const SLIPWAY: &str = env!("CARGO_BIN_EXE_slipway");

/// A lab that is removed however the test ends.
pub struct Lab {
    pub name: String,
    pub nodes: Vec<Node>,
    dir: TempDir,
    /// Everything that slipway printed or logged, for the search for secrets.
    said: RefCell<Vec<(String, String)>>,
    /// When it was made, in seconds of the Unix epoch.
    pub began: u64,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    pub control_plane: bool,
    pub address: String,
}

/// A finished `slipway plan` or `slipway apply`.
pub struct Run {
    pub ran: Ran,
    pub took: Duration,
    /// The JSON lines on standard output.
    pub lines: Vec<Value>,
}

impl Lab {
    pub fn up(name: &str, control_planes: usize, workers: usize, more: &[&str]) -> Self {
        // What an interrupted test left.
        run(SLIPWAY, &["lab", "down", "--name", name], "").ok("lab down");
        let dir = tempfile::Builder::new().prefix("slipway-").tempdir().unwrap();
        let mut lab = Self {
            name: name.to_owned(),
            nodes: Vec::new(),
            said: RefCell::default(),
            began: u64::try_from(jiff::Timestamp::now().as_second()).unwrap(),
            dir,
        };
        let (control_planes, workers) = (control_planes.to_string(), workers.to_string());
        let at = lab.path().display().to_string();
        let args = ["--control-planes", &control_planes, "--workers", &workers, "--dir", &at];
        let began = Instant::now();
        lab.lab("up", &[&args[..], more].concat());
        figure(&format!("{name}: lab up"), shown(began.elapsed()));
        let status: Value =
            serde_json::from_str(&lab.lab("status", &["--output", "json"])).unwrap();
        for node in status["nodes"].as_array().unwrap() {
            let text = |key: &str| node[key].as_str().unwrap().to_owned();
            let control_plane = text("role") == "control-plane";
            lab.nodes.push(Node { name: text("name"), address: text("address"), control_plane });
        }
        lab
    }

    /// Where the inventory is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("lab")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// slipway's state of the cluster.
    pub fn state(&self) -> PathBuf {
        self.file(".slipway").join(&self.name)
    }

    pub fn kube(&self, version: &str) -> Kube {
        Kube::new(version, &self.state().join("kubeconfig"))
    }

    pub fn control_planes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.control_plane)
    }

    pub fn workers(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.control_plane)
    }

    /// An address in the lab's network.
    pub fn address(&self, last: u8) -> String {
        let (net, _) = self.nodes[0].address.rsplit_once('.').unwrap();
        format!("{net}.{last}")
    }

    /// `slipway lab`.
    #[track_caller]
    pub fn lab(&self, verb: &str, args: &[&str]) -> String {
        let args = [&["lab", verb, "--name", &self.name], args].concat();
        run(SLIPWAY, &args, "").ok(&args.join(" "))
    }

    /// Runs a shell text on a node, as root, which must work.
    #[track_caller]
    pub fn on(&self, node: &str, text: &str) -> String {
        self.on_with(node, text, "")
    }

    #[track_caller]
    pub fn on_with(&self, node: &str, text: &str, input: &str) -> String {
        self.try_on(node, text, input).ok(&format!("on {node}: {text}"))
    }

    pub fn try_on(&self, node: &str, text: &str, input: &str) -> Ran {
        let args = ["lab", "ssh", "--name", &self.name, node, "--", text];
        run(SLIPWAY, &args, input)
    }

    /// Runs a shell text on all nodes of `names` at once.
    pub fn on_all(&self, names: &[&str], text: &str, input: &str) -> Vec<String> {
        let lab = self.name.as_str();
        std::thread::scope(|scope| {
            let one = |node: &str| {
                let node = node.to_owned();
                scope.spawn(move || {
                    let args = ["lab", "ssh", "--name", lab, &node, "--", text];
                    run(SLIPWAY, &args, input).ok(&format!("on {node}: {text}"))
                })
            };
            let running: Vec<_> = names.iter().map(|node| one(node)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    pub fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.name.as_str()).collect()
    }

    /// Changes the inventory: every `from` becomes `to`.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.file("slipway.yaml");
        self.write_variant("slipway.yaml", &replaced(&path, from, to));
    }

    /// Another inventory beside the lab's, in which `from` is `to`.
    pub fn variant(&self, name: &str, from: &str, to: &str) {
        self.write_variant(name, &replaced(&self.file("slipway.yaml"), from, to));
    }

    fn write_variant(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    pub fn plan(&self, inventory: &str) -> Run {
        self.slipway(&["plan"], inventory)
    }

    pub fn apply(&self, inventory: &str) -> Run {
        self.slipway(&["apply", "--yes"], inventory)
    }

    /// Does something to nodes: `remove`, `drain`.
    pub fn node(&self, verb: &str, nodes: &[&str]) -> Run {
        self.slipway(&[&["node", verb, "--yes"], nodes].concat(), "slipway.yaml")
    }

    /// Saves a plan in `file` beside the inventory; its exit code says whether there are changes.
    pub fn save_plan(&self, inventory: &str, file: &str) -> Run {
        let file = self.file(file).display().to_string();
        self.slipway(&["plan", "--exit-code", "--out", &file], inventory)
    }

    /// Carries out a saved plan.
    pub fn apply_plan(&self, inventory: &str, file: &str) -> Run {
        let file = self.file(file).display().to_string();
        self.slipway(&["apply", &file], inventory)
    }

    /// Events as JSON, a log, no terminal.
    fn slipway(&self, verb: &[&str], inventory: &str) -> Run {
        let log = self.dir.path().join("log");
        let _ = fs::remove_file(&log);
        let inventory = self.file(inventory).display().to_string();
        let at = log.display().to_string();
        let more = ["-i", &inventory, "--output", "json", "--log-file", &at];
        let args = [verb, &more].concat();
        let began = Instant::now();
        let ran = run(SLIPWAY, &args, "");
        let took = began.elapsed();
        let mut said = self.said.borrow_mut();
        let what = format!("run {} ({})", said.len() / 3 + 1, verb[0]);
        said.push((format!("{what}: standard output"), ran.stdout.clone()));
        said.push((format!("{what}: standard error"), ran.stderr.clone()));
        said.push((format!("{what}: log"), fs::read_to_string(&log).unwrap_or_default()));
        let lines = ran.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Run { ran, took, lines }
    }

    /// What slipway printed and logged so far: what it is, its text.
    pub fn said(&self) -> Vec<(String, String)> {
        self.said.borrow().clone()
    }

    /// Nothing may be kept of a run that was refused.
    #[track_caller]
    pub fn assert_no_state(&self) {
        for name in [".slipway", "slipway.lock"] {
            assert!(!self.file(name).exists(), "a run that changed nothing left `{name}`");
        }
    }
}

impl Run {
    /// Events of one kind.
    pub fn events<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["event"] == kind)
    }

    /// The run worked, and changed nothing.
    #[track_caller]
    pub fn assert_nothing_to_do(&self, what: &str) {
        assert_eq!(self.ran.code, 0, "{what}:\n{}", self.ran.both());
        self.assert_changed_nothing(what);
        let (planned, applied) = (self.events("plan"), self.events("run-finished"));
        let changes: Vec<_> =
            planned.map(|e| &e["changes"]).chain(applied.map(|e| &e["changed"])).collect();
        assert!(
            !changes.is_empty() && changes.iter().all(|count| **count == 0),
            "{what}: changes:\n{}",
            self.ran.both()
        );
    }

    #[track_caller]
    pub fn assert_changed_nothing(&self, what: &str) {
        assert_eq!(
            self.events("run-started").count(),
            1,
            "{what}: no events:\n{}",
            self.ran.both()
        );
        let changing: Vec<_> = self.events("changing").collect();
        assert!(changing.is_empty(), "{what}: it ran {changing:#?}");
    }

    /// The run refused, with this exit code, said all `words`, and changed nothing.
    #[track_caller]
    pub fn assert_refused(&self, code: i32, words: &[&str], what: &str) {
        assert_eq!(self.ran.code, code, "{what}: exit code; it said:\n{}", self.ran.both());
        let said = format!("{}{}", self.ran.stdout, self.ran.stderr);
        for word in words {
            assert!(said.contains(word), "{what}: `{word}` is missing in:\n{}", self.ran.both());
        }
        self.assert_changed_nothing(what);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = run(SLIPWAY, &["lab", "down", "--name", &self.name], "");
        if down.code != 0 {
            eprintln!("lab {} could not be removed:\n{}", self.name, down.both());
        }
    }
}

#[track_caller]
fn replaced(path: &Path, from: &str, to: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "no `{from}` in:\n{text}");
    text.replace(from, to)
}
