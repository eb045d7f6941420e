//! Asking all nodes at once, and waiting until what an earlier run or a boot began has come to its end.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connect::{all_of, ended_early};
use crate::cluster::Cluster;
use crate::command::Output;
use crate::diagnostic::{Error, Kind, Result, printable};
use crate::engine::Node;
use crate::event::{Event, Sink};
use crate::host::Transport;
use crate::pki::Identity;
use crate::preflight;
use crate::probe::Probe;
use crate::survey::{Facts, Survey};

/// How long a kubelet that has just been started, after a power cut say, may take to register its node. To
/// undo its join meanwhile would leave a node that is listed and Ready, by whose name nobody can join.
const REGISTRATION: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The survey, once no kubelet is about to register its node. `own` is the cluster whose keys are kept.
///
/// # Errors
/// When a node does not answer, or its answer cannot be read.
pub(super) async fn survey<H: Transport + 'static>(
    cluster: &Cluster,
    own: Option<&Identity>,
    nodes: &BTreeMap<String, Node<H>>,
    events: &dyn Sink,
) -> Result<Survey> {
    let began = Instant::now();
    loop {
        let facts = facts(cluster, nodes, events).await?;
        let survey = Survey::new(cluster, own, facts)?;
        if !survey.registers() || began.elapsed() > REGISTRATION {
            return Ok(survey);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How long what an earlier run began may still take: as long as kubeadm may.
const EARLIER: Duration = Duration::from_secs(900);

/// Every node's facts, once nothing that an earlier run began works on any of them.
async fn facts<H: Transport + 'static>(
    cluster: &Cluster,
    nodes: &BTreeMap<String, Node<H>>,
    events: &dyn Sink,
) -> Result<BTreeMap<String, Facts>> {
    // No node is asked whether it reaches an unreachable one.
    let mut there = cluster.clone();
    there.nodes.retain(|node| nodes.contains_key(&node.name));
    loop {
        let questions = nodes.keys().map(|name| {
            // Of one that leaves the cluster nothing is asked that matters before it joins.
            let node = there.node(name);
            let questions = node.map(|node| preflight::questions(&there, node));
            (name.clone(), Probe::survey(&questions.unwrap_or_default()))
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
pub(super) struct Answer {
    pub(super) output: Output,
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
pub(super) async fn ask<H: Transport + 'static, T: Send + 'static>(
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
