//! Nodes in memory, for tests of the engine. What a node has is a set of names; a look tells which
//! of the names asked for are there, `make NAME` adds one. All is written down, commands take
//! turns in an order that depends on a seed, and any command can fail or lose its connection.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::command::{Cmd, Input, Output};
use crate::diagnostic::{Error, Kind, Result};
use crate::host::{Hold, Transport};
use crate::probe::Probe;
use crate::resource::{Change, Disruption, Drift, Resource};

/// What every node has.
pub(super) type Things = BTreeSet<(String, String)>;

/// All nodes.
#[derive(Default)]
pub(super) struct World {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Nodes and what they have.
    pub(super) there: Things,
    /// What was done, in order.
    pub(super) log: Vec<Entry>,
    /// The connection is lost at the command of this number.
    pub(super) cut: Option<(usize, Cut)>,
    /// It comes back at once.
    pub(super) brief: bool,
    /// Making these fails.
    pub(super) broken: Things,
    /// Making these seems to work, and does nothing.
    pub(super) in_vain: Things,
    /// Comes about by itself: the name, after how many looks, once which other name is there.
    pub(super) ripens: BTreeMap<&'static str, (usize, &'static str)>,
}

/// When a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before the command could run.
    Before,
    /// After it ran, before its result came back.
    After,
}

/// What was done on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Look(String),
    Begin(String, String),
    End(String, String),
}

impl World {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { seed, state: Mutex::default() })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets other nodes go first, now and then.
    async fn dawdle(&self, about: impl std::hash::Hash) {
        let mut hasher = DefaultHasher::new();
        (self.seed, about).hash(&mut hasher);
        for _ in 0..hasher.finish() % 7 {
            tokio::task::yield_now().await;
        }
    }
}

/// One node.
pub(super) struct FakeHost {
    pub(super) name: String,
    pub(super) world: Arc<World>,
}

impl Transport for FakeHost {
    async fn run(&self, cmd: &Cmd) -> Result<Output> {
        let cut = {
            let mut state = self.world.state();
            match state.cut {
                Some((0, cut)) => {
                    state.cut = None;
                    Some(cut)
                }
                Some((left, cut)) => {
                    state.cut = Some((left - 1, cut));
                    None
                }
                None => None,
            }
        };
        let brief = self.world.state().brief;
        let lost = || {
            let error = Error::new(Kind::Connection, "the connection was lost");
            Err(if brief { error.passing() } else { error })
        };
        if cut == Some(Cut::Before) {
            return lost();
        }
        let words: Vec<&str> = cmd.words().iter().map(String::as_str).collect();
        let output = match (words.as_slice(), cmd.input()) {
            (["sh", "-s"], Input::Bytes(script)) => self.look(script),
            (["make", thing], Input::Nothing) => self.make(thing).await,
            _ => panic!("an unknown command: {cmd}"),
        };
        if cut == Some(Cut::After) { lost() } else { Ok(output) }
    }

    async fn hold(&self, _: &Cmd, _: Duration) -> Result<Result<Hold, Output>> {
        Ok(Ok(Hold::default()))
    }

    async fn reconnect(&self) -> Result<()> {
        Ok(())
    }
}

impl FakeHost {
    /// Answers a script of [`crate::probe::script`] whose probes all ask what exists.
    fn look(&self, script: &[u8]) -> Output {
        let script = std::str::from_utf8(script).unwrap();
        let mut state = self.world.state();
        state.log.push(Entry::Look(self.name.clone()));
        let mut stdout = String::new();
        for line in script.lines() {
            if let Some(words) = line.strip_prefix("(set -- ") {
                for word in shlex::split(words).unwrap() {
                    if state.has(&self.name, &word) {
                        stdout.push_str(&format!("{word}\n"));
                    }
                }
            } else if let Some(mark) = line.strip_prefix("printf '\\n") {
                // The opening mark, or the end of an answer.
                match mark.split_once(' ') {
                    None => stdout.push_str(&format!("\n{}\n", mark.trim_end_matches("\\n'"))),
                    Some((nonce, _)) => stdout.push_str(&format!("\n{nonce} 0\n")),
                }
            }
        }
        Output { stdout: stdout.into_bytes(), ..Output::default() }
    }

    async fn make(&self, thing: &str) -> Output {
        let key = (self.name.clone(), thing.to_owned());
        self.world.dawdle(&key).await;
        self.world.state().log.push(Entry::Begin(key.0.clone(), key.1.clone()));
        self.world.dawdle((&key, "while at it")).await;
        let mut state = self.world.state();
        state.log.push(Entry::End(key.0.clone(), key.1.clone()));
        if state.broken.contains(&key) {
            let stderr = b"the disk is full, and the password is s3cret".to_vec();
            return Output { code: 1, stderr, ..Output::default() };
        }
        if thing == RESET {
            let stays = |name: &str| name != HALF && !name.starts_with("/etc/kubernetes/pki/");
            state.there.retain(|(node, name)| *node != self.name || stays(name));
        } else if !state.in_vain.contains(&key) {
            state.there.insert(key);
        }
        Output::default()
    }
}

impl State {
    fn has(&mut self, node: &str, thing: &str) -> bool {
        let key = |thing: &str| (node.to_owned(), thing.to_owned());
        if let Some((looks, once)) = self.ripens.get_mut(thing)
            && self.there.contains(&key(once))
        {
            match looks.checked_sub(1) {
                Some(left) => *looks = left,
                None => drop(self.there.insert(key(thing))),
            }
        }
        self.there.contains(&key(thing))
    }
}

/// Names that a node shall have, each made by a command of its own.
pub(super) struct Made(pub(super) &'static [&'static str]);

impl Resource for Made {
    fn id(&self) -> String {
        self.0.join(" and ")
    }

    fn probe(&self) -> Probe {
        Probe::exist(self.0)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let missing = missing(self.0, seen);
        Ok(Drift::unless(missing.is_empty(), format!("new: {}", missing.join(", "))))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let make =
            |thing: &&str| Change::new(format!("make {thing}"), Cmd::new("make").arg(*thing));
        missing(self.0, seen).iter().map(make).collect()
    }
}

fn missing(names: &[&'static str], seen: &Output) -> Vec<&'static str> {
    let text = seen.text();
    names.iter().copied().filter(|name| !text.lines().any(|line| line == *name)).collect()
}

/// What an unfinished join leaves, and the command that undoes it.
pub(super) const HALF: &str = "half a join";
const RESET: &str = "reset";

/// Nothing is left of an unfinished join.
pub(super) struct Undone;

impl Resource for Undone {
    fn id(&self) -> String {
        "leftovers".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::exist(&[HALF])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(seen.stdout.is_empty(), format!("new: {RESET}")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        vec![Change::new(RESET, Cmd::new("make").arg(RESET))]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Reset)
    }
}

/// A name that comes about by itself.
pub(super) struct WaitOnly(pub(super) &'static str, pub(super) Duration);

impl Resource for WaitOnly {
    fn id(&self) -> String {
        self.0.to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::exist(&[self.0])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(!seen.stdout.is_empty(), "to come"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        self.1
    }

    fn explain(&self, _seen: &Output) -> Option<String> {
        Some("it takes its time".to_owned())
    }
}
