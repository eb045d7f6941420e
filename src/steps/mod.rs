//! The steps of an apply, in reading order: [`STEPS`]. Each step is a pure function from the cluster and
//! the survey to the resources that one node must have.
//!
//! To add a step: a file here with `pub const STEP` and its `fn desired`, whose doc comment says
//! why the step is at that place, and a line in [`STEPS`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use semver::Version;

use crate::bundle::Bundle;
use crate::cluster::{Cluster, Node, Role};
use crate::diagnostic::Result;
use crate::pki::Pki;
use crate::resource::{File, Registration, Resource};
use crate::secret::Secret;
use crate::survey::{Facts, Survey};

mod addons;
mod artifacts;
mod certificates;
mod containerd;
mod endpoint;
mod health;
mod images;
mod init;
mod join;
mod kubeadm;
mod kubelet;
mod kubernetes;
mod leftovers;
mod maintenance;
mod network;
mod os;
mod programs;
mod registration;
mod removal;
#[cfg(test)]
mod sample;
mod shared_keys;
mod static_pods;
#[cfg(test)]
mod tests;
mod time;
mod tokens;
mod upgrade;

pub use artifacts::Program;

/// All steps, in reading order. Each node walks them independently; see [`crate::engine::apply`].
pub const STEPS: &[Step] = &[
    leftovers::STEP,
    os::STEP,
    time::STEP,
    containerd::STEP,
    kubernetes::STEP,
    endpoint::STEP,
    shared_keys::STEP,
    certificates::APPROVER,
    init::STEP,
    images::STEP,
    join::ETCD,
    join::CONTROL_PLANES,
    join::WORKERS,
    kubelet::CONTROL_PLANES,
    upgrade::APIS,
    static_pods::STEP,
    upgrade::OBJECTS,
    kubelet::WORKERS,
    upgrade::RESUMED,
    upgrade::CONTROL_PLANES,
    upgrade::WORKERS,
    certificates::STEP,
    addons::STEP,
    network::STEP,
    tokens::STEP,
    health::STEP,
    network::DNS,
    registration::STEP,
];

/// The steps that take nodes out: those of their own, and of an apply those by which the others stop to count on them.
pub const REMOVAL: &[Step] = &[
    removal::DRAIN,
    removal::ENDPOINT,
    Step { after: DRAINED, ..os::STEP },
    Step { after: &[Gate::Others("removal/endpoint")], ..endpoint::STEP },
    Step { after: DRAINED, ..certificates::APPROVER },
    removal::ETCD,
    removal::MACHINE,
    removal::NODE,
    health::STEP,
    network::DNS,
];

/// A node whose pods cannot go stays, and the others count on it.
const DRAINED: &[Gate] = &[Gate::Leader("removal/drain")];

/// The steps by which nodes take no new pods.
pub const CORDON: &[Step] = &[maintenance::CORDON];

/// The steps by which pods go elsewhere.
pub const DRAIN: &[Step] = &[maintenance::CORDON, maintenance::DRAIN];

/// The steps by which nodes take pods again.
pub const UNCORDON: &[Step] = &[maintenance::UNCORDON];

/// Whether a run of `steps` leaves out some of [`STEPS`].
#[must_use]
pub fn is_partial(steps: &[Step]) -> bool {
    steps.len() < STEPS.len()
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its name, as flags and messages use it.
    pub name: &'static str,
    /// What it does, in a few words.
    pub title: &'static str,
    /// What the leader or other nodes must have finished before.
    pub after: &'static [Gate],
    /// Whether nodes may do it at the same time.
    pub pace: Pace,
    /// What `node` must have; empty where the step does not concern it.
    pub desired: Desired,
}

/// The resources that a node must have by one step.
pub type Desired = fn(&Context, &Node) -> Result<Vec<Box<dyn Resource>>>;

/// What the leader or other nodes must have finished before a node may begin a step.
#[derive(Debug, Clone, Copy)]
pub enum Gate {
    /// The leader has finished this step.
    Leader(&'static str),
    /// All other control planes have finished this step.
    ControlPlanes(&'static str),
    /// All other nodes on which the plan has something to do by this step have finished it.
    Planned(&'static str),
    /// All other nodes have finished this step.
    Others(&'static str),
    /// All other nodes have finished this step, or stopped before it. Where the node itself stopped earlier,
    /// it still does the step, after all others have ended.
    Ended(&'static str),
    /// On workers: the leader has finished this step. Workers delay nobody, so they leave the network and
    /// the processors to the leader, for which all wait.
    LeaderFirst(&'static str),
}

impl Gate {
    /// The step that it waits for.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::Leader(step)
            | Self::ControlPlanes(step)
            | Self::Planned(step)
            | Self::Others(step)
            | Self::Ended(step)
            | Self::LeaderFirst(step) => step,
        }
    }
}

/// Whether nodes may do a step at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All at once.
    Together,
    /// At most so many nodes at a time.
    AtMost(usize),
    /// At most so many nodes at a time, and none that differs after one that failed: what went wrong
    /// there would go wrong everywhere.
    Rolling(usize),
    /// The same, as many at a time as the inventory lets be without pods (`spec.drain.maxUnavailable`).
    Drained,
}

impl Pace {
    /// How many nodes of `cluster` may do the step at a time.
    #[must_use]
    pub fn width(self, cluster: &Cluster) -> usize {
        match self {
            Self::Together => usize::MAX,
            Self::AtMost(nodes) | Self::Rolling(nodes) => nodes,
            Self::Drained => cluster.drain.at_once(cluster.with_role(Role::Worker).count()),
        }
    }

    /// Whether no node that differs does the step after one that failed.
    #[must_use]
    pub const fn ends_at_a_failure(self) -> bool {
        matches!(self, Self::Rolling(_) | Self::Drained)
    }
}

/// Everything that desired resources are computed from. Nothing here changes during a run.
pub struct Context {
    /// The steps, in reading order.
    pub steps: &'static [Step],
    /// The cluster that the inventory describes.
    pub cluster: Cluster,
    /// What the survey found.
    pub survey: Survey,
    /// The cluster's keys: kept ones, read back ones, or new ones.
    pub pki: Pki,
    /// What the cluster is made of.
    pub bundle: Arc<Bundle>,
    /// The bootstrap token of this run.
    pub token: Token,
    /// This program, which stays on control planes to approve certificates.
    pub program: Program,
    /// What makes the cluster a hub, as a list of objects; `None` where it shall be none.
    pub hub: Option<String>,
    /// What registers the cluster, where a hub is named.
    pub registration: Option<Registered>,
}

/// What registers a cluster with its hub.
pub struct Registered {
    /// The agent's objects, without its credential.
    pub agent: String,
    /// The registration itself.
    pub with: Registration,
}

/// A bootstrap token, as in kubernetes.io's "Authenticating with Bootstrap Tokens": an id of six
/// characters, which is public, and a secret of sixteen.
pub struct Token {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: Secret<String>,
}

impl Token {
    /// A new one, at random.
    #[must_use]
    pub fn random() -> Self {
        use rand::RngExt as _;
        const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut rng = rand::rng();
        let mut word = |length: usize| -> String {
            let letter = |_| ALPHABET.get(rng.random_range(0..ALPHABET.len()));
            (0..length).filter_map(letter).map(|byte| char::from(*byte)).collect()
        };
        Self { id: word(6), secret: Secret::new(word(16)) }
    }
}

impl Context {
    /// What `node` must have by `step`.
    ///
    /// # Errors
    /// When the bundle lacks something that the step needs.
    pub fn desired(&self, step: &Step, node: &str) -> Result<Vec<Box<dyn Resource>>> {
        let leaving = || self.cluster.machines().find(|machine| machine.name == node);
        match self.cluster.node(node) {
            Some(node) => (step.desired)(self, node),
            // Of what the others must have, a machine that leaves gets nothing.
            None if [removal::ENDPOINT.name, removal::MACHINE.name].contains(&step.name) => {
                leaving().map_or(Ok(Vec::new()), |node| (step.desired)(self, node))
            }
            None => Ok(Vec::new()),
        }
    }

    /// Whether that node acts for the cluster.
    #[must_use]
    pub fn is_leader(&self, node: &Node) -> bool {
        node.name == self.survey.leader
    }

    /// The nodes that answered.
    pub fn present(&self) -> impl Iterator<Item = &Node> {
        self.cluster.nodes.iter().filter(|node| self.survey.nodes.contains_key(&node.name))
    }

    /// Whether there is no cluster yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        !self.survey.any_member()
    }

    /// Whether the control planes become another version. Until all of them have it, `kubeadm-config` says the
    /// one before.
    fn upgrades(&self) -> bool {
        self.upgrades_from().is_some()
    }

    /// The version that they have before.
    fn upgrades_from(&self) -> Option<&Version> {
        self.survey.kubernetes.as_ref().filter(|now| **now != self.cluster.kubernetes)
    }

    /// Whether the node is a member whose kubelet has another version than it is meant to have.
    fn is_behind(&self, node: &Node) -> bool {
        let version = self.survey.kubelet_version(&node.name);
        self.survey.is_member(&node.name)
            && version.is_some_and(|version| version != self.cluster.kubernetes)
    }

    /// The nodes that become members by the run's token.
    fn joining(&self) -> Vec<&str> {
        let first = |node: &Node| self.is_new() && self.is_leader(node);
        self.present()
            .filter(|node| !self.survey.is_member(&node.name) && !first(node))
            .map(|node| node.name.as_str())
            .collect()
    }

    fn facts(&self, node: &Node) -> &Facts {
        static NONE: std::sync::OnceLock<Facts> = std::sync::OnceLock::new();
        self.survey.facts(&node.name).unwrap_or_else(|| NONE.get_or_init(Facts::default))
    }

    /// Control planes' names and addresses.
    fn control_planes(&self) -> impl Iterator<Item = &Node> {
        self.cluster.with_role(Role::ControlPlane)
    }

    /// Names and addresses of all control planes, by name: those of the inventory, and members that it
    /// does not have. Another order of the inventory changes nothing.
    fn voters(&self) -> BTreeMap<&str, Ipv4Addr> {
        let beyond = self.survey.beyond.iter().filter(|m| m.role == Role::ControlPlane);
        let meant = self.control_planes().map(|node| (node.name.as_str(), node.internal));
        beyond.map(|m| (m.name.as_str(), m.internal)).chain(meant).collect()
    }

    /// The addresses that belong to each node, for judging certificate requests: also of members that
    /// the inventory does not have, whose certificates are renewed.
    fn addresses(&self) -> BTreeMap<&str, Vec<Ipv4Addr>> {
        let beyond = self.survey.beyond.iter().map(|m| (m.name.as_str(), vec![m.internal]));
        let meant = self.cluster.nodes.iter().map(|n| (n.name.as_str(), vec![n.internal]));
        beyond.chain(meant).collect()
    }
}

fn all(files: Vec<File>) -> impl Iterator<Item = Box<dyn Resource>> {
    files.into_iter().map(|file| Box::new(file) as Box<dyn Resource>)
}
