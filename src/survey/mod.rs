//! Identifies the machines: every node's facts and membership, the cluster's identity, the leader.
//!
//! All of it comes from one look at each node before any step; what a node printed is untrusted and
//! parsed with limits. [`crate::preflight`] then judges everything at once.

use std::collections::BTreeMap;

use semver::Version;

use crate::cluster::{Cluster, Node, Role};
use crate::diagnostic::{Error, Kind, Result};
use crate::etcd::EtcdMember;
use crate::pki::Identity;

mod beyond;
mod clock;
mod facts;
mod listed;
mod machine;
mod membership;
mod missing;
#[cfg(test)]
mod tests;

pub use beyond::Beyond;
pub use clock::{Ahead, Clock, THIS_MACHINE};
pub use facts::{Credentials, Facts, TAINTS};
pub use listed::Listed;
pub use machine::{Answer, Disk, Holder, Link, Listener, Machine, Mount, Other};
pub use membership::{Membership, Otherwise, Partial, Remedy};
pub use missing::Missing;

use membership::View;

/// What all nodes said.
#[derive(Debug)]
pub struct Survey {
    /// Per node.
    pub nodes: BTreeMap<String, Surveyed>,
    /// The control plane that acts for the cluster: one whose API answers (its own join may still be
    /// unfinished), else the one on which an init began, else the first of the inventory.
    pub leader: String,
    /// The cluster that was found, if any.
    pub identity: Option<Identity>,
    /// The `ClusterConfiguration` that kubeadm keeps in the living cluster.
    pub configuration: Option<String>,
    /// The version of Kubernetes that the living cluster has by that: what the last control plane that was
    /// upgraded leaves behind.
    pub kubernetes: Option<Version>,
    /// The kubelets' configuration that the living cluster keeps.
    pub kubelet: Option<String>,
    /// By node: the taints that slipway gave it, `KEY:EFFECT`, with spaces between.
    pub taints: BTreeMap<String, String>,
    /// etcd's members, if any of them answers.
    pub etcd: Option<Vec<EtcdMember>>,
    /// The node on which a `kubeadm init` began and did not finish.
    pub begun: Option<String>,
    /// Members that the inventory does not have, by name.
    pub beyond: Vec<Beyond>,
    /// On how many control planes of the inventory etcd answers.
    answering: usize,
    /// Node objects of the living cluster.
    listed: BTreeMap<String, Listed>,
}

/// What one node said.
#[derive(Debug)]
pub struct Surveyed {
    /// Its facts.
    pub facts: Facts,
    /// Its part in a cluster.
    pub membership: Membership,
}

impl Survey {
    /// Judges all `facts`. `own` is the identity in the operator's state, if there is one.
    ///
    /// # Errors
    /// When a certificate on a node cannot be read, or two clusters are found.
    pub fn new(
        cluster: &Cluster,
        own: Option<&Identity>,
        facts: BTreeMap<String, Facts>,
    ) -> Result<Self> {
        let identity = identity(own, &facts)?;
        let control_planes = || cluster.with_role(Role::ControlPlane).map(|node| &node.name);
        let views: Vec<(&String, &Facts)> =
            control_planes().filter_map(|name| Some((name, facts.get(name)?))).collect();
        // Those of control planes that leave, too, while they are there.
        let voters = cluster.machines().filter(|node| node.role == Role::ControlPlane);
        let voters: Vec<&Facts> = voters.filter_map(|node| facts.get(&node.name)).collect();
        let answers = |facts: &Facts| facts.api_nodes.is_some() && facts.identity == identity;
        let begun = unfinished_init(&facts);
        // An init that did not finish is no cluster: what answers there goes with it.
        let lives = begun.is_none();
        let view = views.iter().filter(|_| lives).find(|(name, facts)| {
            answers(facts)
                && facts.api_nodes.as_ref().is_some_and(|nodes| nodes.contains_key(*name))
        });
        let first = control_planes().next();
        let leader = view.map(|(name, _)| *name).or(begun.as_ref()).or(first);
        let leader = leader.cloned().unwrap_or_default();
        let configuration = view.and_then(|(_, facts)| facts.configuration.clone());
        let kubernetes = configuration.as_deref().and_then(version);
        let kubelet = view.and_then(|(_, facts)| facts.kubelet.clone());
        let taints = view.map(|(_, facts)| facts.taints.clone()).unwrap_or_default();
        let view = view.map(|(_, facts)| *facts);
        let ours = |facts: &Facts| facts.identity.is_some() && facts.identity == identity;
        let etcd = voters.iter().find_map(|f| f.etcd.clone().filter(|_| lives && ours(f)));
        let traces = ["etcd-data", "manifests/etcd.yaml"];
        let seen = View {
            identity: identity.as_ref(),
            nodes: view.and_then(|view| view.api_nodes.as_ref()),
            etcd: etcd.as_deref(),
            answering: voters.iter().filter(|f| f.etcd.is_some() && ours(f)).count(),
            begun: begun.as_deref(),
            nothing: !voters.iter().any(|f| traces.iter().any(|trace| f.has(trace))),
        };
        let listed = view.and_then(|view| view.api_nodes.clone()).unwrap_or_default();
        let mut nodes = BTreeMap::new();
        for node in cluster.machines() {
            // A node that did not answer is not judged.
            let Some(facts) = facts.get(&node.name).cloned() else { continue };
            let membership = membership::judge(node, &facts, &seen);
            nodes.insert(node.name.clone(), Surveyed { facts, membership });
        }
        let beyond = beyond::members(cluster, &nodes, &listed, etcd.as_deref().unwrap_or_default());
        let answering = seen.answering;
        Ok(Self {
            nodes,
            leader,
            identity,
            configuration,
            kubernetes,
            kubelet,
            taints,
            etcd,
            begun,
            beyond,
            answering,
            listed,
        })
    }

    /// That node's facts.
    #[must_use]
    pub fn facts(&self, node: &str) -> Option<&Facts> {
        self.nodes.get(node).map(|surveyed| &surveyed.facts)
    }

    /// That node's part.
    #[must_use]
    pub fn membership(&self, node: &str) -> Option<&Membership> {
        self.nodes.get(node).map(|surveyed| &surveyed.membership)
    }

    /// Whether that node is a member.
    #[must_use]
    pub fn is_member(&self, node: &str) -> bool {
        self.membership(node) == Some(&Membership::Member)
    }

    /// Whether that node's unfinished membership must be reset before it joins.
    #[must_use]
    pub fn must_reset(&self, node: &str) -> bool {
        matches!(self.membership(node), Some(Membership::Partial(p)) if p.remedy == Remedy::Reset)
    }

    /// Whether that node's join stopped after its etcd member voted, and must go on from there.
    #[must_use]
    pub fn must_resume_join(&self, node: &str) -> bool {
        matches!(self.membership(node), Some(Membership::Partial(p)) if p.remedy == Remedy::Resume)
    }

    /// The etcd member of an earlier life of `node`: it was reinstalled, or its join stopped before
    /// it voted, or it lost its data. It will never come back.
    #[must_use]
    pub fn stale_member(&self, node: &Node) -> Option<&EtcdMember> {
        let is_recreated = self.is_recreated(&node.name);
        self.etcd.iter().flatten().find(|member| is_recreated && member.is_of(node))
    }

    /// The UID of the Node object of an earlier life of `node`. While it is Ready, which it stays for
    /// 40 s after the kubelet's end, `kubeadm join` refuses another one of its name.
    #[must_use]
    pub fn stale_node(&self, node: &Node) -> Option<&str> {
        let listed = self.listed.get(&node.name).filter(|_| self.is_recreated(&node.name))?;
        Some(&listed.uid)
    }

    /// Whether everything that the cluster lists of that node is stale.
    fn is_recreated(&self, node: &str) -> bool {
        self.membership(node) == Some(&Membership::Stale) || self.must_reset(node)
    }

    /// How many members vote in etcd, if any member answers.
    #[must_use]
    pub fn voters(&self) -> Option<usize> {
        Some(self.etcd.as_ref()?.iter().filter(|member| member.votes()).count())
    }

    /// How many of them answer; of control planes that the inventory does not have, those whose node is
    /// Ready.
    #[must_use]
    pub fn answering(&self) -> usize {
        let ready = |member: &&Beyond| {
            let listed = self.listed.get(&member.name);
            member.role == Role::ControlPlane && listed.is_some_and(|listed| listed.ready)
        };
        self.answering + self.beyond.iter().filter(ready).count()
    }

    /// Whether that node's etcd answers.
    #[must_use]
    pub fn etcd_answers(&self, node: &str) -> bool {
        let answers = |facts: &Facts| facts.etcd.is_some() && facts.identity == self.identity;
        self.facts(node).is_some_and(answers)
    }

    /// The version of that node's kubelet, as the cluster lists it.
    #[must_use]
    pub fn kubelet_version(&self, node: &str) -> Option<Version> {
        self.listed.get(node)?.version.strip_prefix('v')?.parse().ok()
    }

    /// Lets the cluster list all nodes of the inventory with kubelets of that version.
    #[cfg(test)]
    pub(crate) fn list_kubelets(&mut self, version: &str, cordoned: bool) {
        let listed = Listed { version: version.to_owned(), cordoned, ..Listed::default() };
        self.listed = self.nodes.keys().map(|name| (name.clone(), listed.clone())).collect();
    }

    /// Lets the cluster list a node.
    #[cfg(test)]
    pub(crate) fn list(&mut self, node: &str, listed: Listed) {
        self.listed.insert(node.to_owned(), listed);
    }

    /// That node, as the cluster lists it.
    #[must_use]
    pub fn listed(&self, node: &str) -> Option<&Listed> {
        self.listed.get(node)
    }

    /// The etcd member of that name.
    #[must_use]
    pub fn member_named(&self, node: &str) -> Option<&EtcdMember> {
        self.etcd.iter().flatten().find(|member| member.name == node)
    }

    /// Whether slipway keeps pods away from that node.
    #[must_use]
    pub fn is_cordoned(&self, node: &str) -> bool {
        self.listed.get(node).is_some_and(|listed| listed.cordoned)
    }

    /// Whether that node has labels that slipway gave it.
    #[must_use]
    pub fn is_labelled(&self, node: &str) -> bool {
        self.listed.get(node).is_some_and(|listed| listed.labelled)
    }

    /// Whether a node has all that a member has, and is not listed yet.
    #[must_use]
    pub fn registers(&self) -> bool {
        let missing = |node: &Surveyed| match &node.membership {
            Membership::Partial(partial) => Some(&partial.missing) == Some(&Missing::NodeObject),
            _ => false,
        };
        self.nodes.values().any(missing)
    }

    /// Whether any node of the inventory is a member.
    #[must_use]
    pub fn any_member(&self) -> bool {
        self.nodes.keys().any(|node| self.is_member(node))
    }
}

/// The version that a `ClusterConfiguration` says.
fn version(configuration: &str) -> Option<Version> {
    let configuration: serde_json::Value = crate::yaml::read(configuration).ok()?;
    configuration.get("kubernetesVersion")?.as_str()?.strip_prefix('v')?.parse().ok()
}

/// The node on which an init began and did not finish, unless another node has joined.
fn unfinished_init(facts: &BTreeMap<String, Facts>) -> Option<String> {
    let mut joined = facts.iter().filter(|(_, f)| f.has("kubelet.conf") || f.has("etcd-data"));
    let (name, only) = joined.next()?;
    let alone = only.api_nodes.iter().flatten().all(|(node, _)| node == name);
    (only.begun && alone && joined.next().is_none()).then(|| name.clone())
}

/// The one cluster whose certificates are on the nodes; the operator's own first, so that another
/// is known as foreign.
fn identity(own: Option<&Identity>, facts: &BTreeMap<String, Facts>) -> Result<Option<Identity>> {
    let mut found: BTreeMap<&Identity, Vec<&str>> = BTreeMap::new();
    for (name, facts) in facts {
        if let Some(identity) = &facts.identity {
            found.entry(identity).or_default().push(name);
        }
    }
    match (own, found.len()) {
        (Some(own), _) => Ok(Some(own.clone())),
        (None, 0) => Ok(None),
        (None, 1) => Ok(found.into_keys().next().cloned()),
        (None, _) => {
            let mut error =
                Error::new(Kind::Preflight, "the nodes carry certificates of different clusters");
            for (identity, nodes) in found {
                error = error.note(format!("{identity}: {}", nodes.join(", ")));
            }
            Err(error.hint("an inventory describes one cluster; nothing was changed"))
        }
    }
}
