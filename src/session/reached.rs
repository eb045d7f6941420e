//! All nodes reached and looked at, and what preflight finds; nothing is planned yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{Cluster, Role};
use crate::command::Output;
use crate::diagnostic::{Error, Kind, Result, printable};
use crate::engine::{self, Node};
use crate::event::{Event, Sink};
use crate::host::{SshHost, Transport, Trust};
use crate::inventory::Inventory;
use crate::pki::Pki;
use crate::probe::Probe;
use crate::secret::Secret;
use crate::state::State;
use crate::steps::Program;
use crate::survey::{self, Facts, Finding, Membership, Survey};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// To look at the machines alone.
    Preflight,
    /// To show what would change.
    Plan,
    /// To change it.
    Apply,
}

impl Run {
    fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Plan => "plan",
            Self::Apply => "apply",
        }
    }
}

/// How long a kubelet that has just been started, after a power cut say, may take to register its node. To
/// undo its join meanwhile would leave a node that is listed and Ready, by whose name nobody can join.
const REGISTRATION: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// All nodes, reached and looked at.
pub struct Reached {
    /// What preflight found.
    pub findings: Vec<Finding>,
    /// The inventory.
    pub inventory: Inventory,
    pub(super) nodes: BTreeMap<String, Node<SshHost>>,
    /// Workers that cannot be reached, and why.
    pub unreachable: BTreeMap<String, Error>,
    pub(super) survey: Survey,
    pub(super) kept: Option<Pki>,
    pub(super) state: State,
    pub(super) program: Program,
}

impl Reached {
    /// Connects to all nodes, and judges what they say. Whatever they print, `masked` is not shown.
    ///
    /// # Errors
    /// When a node cannot be reached or does not answer; findings are no errors here.
    pub async fn begin(
        inventory: Inventory,
        run: Run,
        trust: Arc<dyn Trust>,
        masked: &Arc<[Secret<String>]>,
        events: &Arc<dyn Sink>,
    ) -> Result<Self> {
        let cluster = &inventory.cluster;
        let names = cluster.nodes.iter().map(|node| node.name.clone()).collect();
        let apply = run == Run::Apply;
        let (run, name) = (run.name(), cluster.name.clone());
        events.take(Event::RunStarted { run, cluster: name, nodes: names });
        let state = State::at(inventory.state_dir());
        let kept = state.load()?;
        let (nodes, unreachable) = connect(cluster, trust, masked).await?;
        if apply {
            engine::take_leases(&nodes, &holder()).await?;
        }
        let own = kept.as_ref().map(Pki::identity);
        let began = Instant::now();
        let survey = loop {
            let facts = facts(cluster, &nodes, events.as_ref()).await?;
            let survey = Survey::new(cluster, own.as_ref(), facts)?;
            if !survey.registers() || began.elapsed() > REGISTRATION {
                break survey;
            }
            tokio::time::sleep(LOOK).await;
        };
        if !survey.any_member() {
            // What a new cluster is to be, all of its nodes must say.
            all_of(unreachable.clone(), cluster.nodes.len(), "connect to")?;
        }
        for (name, surveyed) in &survey.nodes {
            let system = printable(&surveyed.facts.os_name);
            let part = surveyed.membership.in_words();
            let node = name.clone();
            events.take(Event::Connected { node, about: format!("{system}, {part}") });
        }
        let program = Program::running()?;
        let findings = survey::findings(cluster, &survey, program.glibc());
        Ok(Self { findings, inventory, nodes, unreachable, survey, kept, state, program })
    }

    /// Measures the disks of control planes that are bare, and adds what is found.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn time_disks(&mut self) -> Result<()> {
        let bare = |node: &&crate::cluster::Node| {
            self.survey.membership(&node.name) == Some(&Membership::Absent)
        };
        let control_planes = self.inventory.cluster.with_role(Role::ControlPlane).filter(bare);
        let probes = control_planes.map(|node| (node.name.clone(), Probe::synced_writes()));
        let answers = ask(&self.nodes, probes.collect(), |answer| Ok(answer.output)).await?;
        let found = answers.iter().filter_map(|(name, output)| survey::synced(name, output));
        self.findings.extend(found);
        survey::sort(&mut self.findings, &self.inventory.cluster);
        Ok(())
    }

    /// Tells all findings as events.
    pub fn tell(&self, events: &dyn Sink) {
        for one in &self.findings {
            events.take(Event::Finding {
                node: one.node.clone(),
                check: one.check,
                severity: one.severity.name(),
                what: one.what.clone(),
                todo: one.todo.clone(),
            });
        }
    }
}

/// Connects to all nodes at once.
async fn connect(
    cluster: &Cluster,
    trust: Arc<dyn Trust>,
    masked: &Arc<[Secret<String>]>,
) -> Result<(BTreeMap<String, Node<SshHost>>, BTreeMap<String, Error>)> {
    let mut connecting = JoinSet::new();
    for node in cluster.nodes.clone() {
        let trust = Arc::clone(&trust);
        connecting.spawn(async move {
            let host = SshHost::connect(&node.ssh, &node.name, trust.as_ref()).await;
            (node.name, host)
        });
    }
    let mut nodes = BTreeMap::new();
    let mut errors = BTreeMap::new();
    while let Some(joined) = connecting.join_next().await {
        let (name, host) = joined.map_err(|e| ended_early(&e))?;
        match host {
            Ok(host) => {
                nodes.insert(name.clone(), Node::new(&name, Arc::new(host), Arc::clone(masked)));
            }
            Err(error) => drop(errors.insert(name, error)),
        }
    }
    // A control plane's silence could hide the cluster; a machine that is not who it should be is
    // no accident.
    if errors.iter().all(|(name, error)| cluster.is_worker(name) && error.is_passing()) {
        return Ok((nodes, errors));
    }
    all_of(errors, cluster.nodes.len(), "connect to").map(|()| (nodes, BTreeMap::new()))
}

/// Who holds the lease, for those who come second.
fn holder() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let since = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
    format!("{user}@{host}, process {}, since {since}", std::process::id())
}

/// How long what an earlier run began may still take: as long as kubeadm may.
const EARLIER: Duration = Duration::from_secs(900);

/// Every node's facts, once nothing that an earlier run began works on any of them.
pub(crate) async fn facts<H: Transport + 'static>(
    cluster: &Cluster,
    nodes: &BTreeMap<String, Node<H>>,
    events: &dyn Sink,
) -> Result<BTreeMap<String, Facts>> {
    // No node is asked whether it reaches an unreachable one.
    let mut there = cluster.clone();
    there.nodes.retain(|node| nodes.contains_key(&node.name));
    loop {
        let questions = there.nodes.iter().map(|node| {
            let probe = Probe::survey(&survey::questions(&there, node));
            (node.name.clone(), probe)
        });
        let facts = ask(nodes, questions.collect(), Answer::facts).await?;
        let mut quiet = true;
        for (node, facts) in nodes.values().filter_map(|n| Some((n, facts.get(n.name())?))) {
            node.booted(&facts.boot_id);
            let Some(unit) = facts.running.first() else { continue };
            quiet = false;
            let about = format!("waits for {}, which an earlier run started", printable(unit));
            events.take(Event::Connected { node: node.name().to_owned(), about });
            node.wait_for_units(EARLIER).await?;
        }
        if quiet {
            return Ok(facts);
        }
    }
}

/// What a node said, and between which times of this machine's clock, in ns since the epoch.
struct Answer {
    output: Output,
    asked: i64,
    heard: i64,
}

impl Answer {
    fn facts(self) -> Result<Facts> {
        let mut facts = Facts::parse(&self.output)?;
        facts.machine.clock.heard(self.asked, self.heard);
        Ok(facts)
    }
}

/// Asks nodes all at once, each its question, and reads their answers.
async fn ask<H: Transport + 'static, T: Send + 'static>(
    nodes: &BTreeMap<String, Node<H>>,
    questions: BTreeMap<String, Probe>,
    read: fn(Answer) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let count = questions.len();
    let mut looks = JoinSet::new();
    for (name, probe) in questions {
        let node = nodes.get(&name).cloned();
        let node = node.ok_or_else(|| Error::new(Kind::Bug, "a node without a connection"))?;
        looks.spawn(async move {
            let asked = now();
            let answer = node.look(&[probe]).await;
            let heard = now();
            let output = answer.map(|outputs| outputs.into_iter().next().unwrap_or_default());
            let answer = output.map(|output| Answer { output, asked, heard });
            let read = answer.and_then(|answer| read(answer).map_err(|e| e.context(&name)));
            (name, read)
        });
    }
    let mut answers = BTreeMap::new();
    let mut errors = BTreeMap::new();
    while let Some(joined) = looks.join_next().await {
        let (name, answer) = joined.map_err(|e| ended_early(&e))?;
        match answer {
            Ok(answer) => drop(answers.insert(name, answer)),
            Err(error) => drop(errors.insert(name, error)),
        }
    }
    all_of(errors, count, "survey").map(|()| answers)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// One error for all nodes that failed; the only one as it is.
fn all_of(mut errors: BTreeMap<String, Error>, nodes: usize, verb: &str) -> Result<()> {
    if errors.len() < 2 {
        return errors.pop_first().map_or(Ok(()), |(_, error)| Err(error));
    }
    let kind = errors.values().next().map_or(Kind::Bug, Error::kind);
    let message = format!("cannot {verb} {} of {nodes} nodes; nothing was changed", errors.len());
    let error = Error::new(kind, message);
    Err(errors.values().fold(error, |all, one| all.note(one.to_string())))
}

fn ended_early(e: &tokio::task::JoinError) -> Error {
    Error::new(Kind::Bug, format!("a task ended early: {e}"))
}
