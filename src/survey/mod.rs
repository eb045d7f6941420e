//! Who are we dealing with: every node's facts and membership, the cluster's identity, the leader.
//!
//! All of it comes from one look at each node before any step; what a node printed is untrusted and
//! parsed with limits. [`findings`] then judges everything at once.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Role};
use crate::diagnostic::{Error, Kind, Result};
use crate::pki::Identity;

mod facts;
mod preflight;
#[cfg(test)]
mod tests;

pub use facts::Facts;
pub use preflight::{
    CHECKS, Check, Finding, Machine, Severity, findings, questions, refuse, sort, synced,
};

/// What all nodes said.
#[derive(Debug)]
pub struct Survey {
    /// Per node.
    pub nodes: BTreeMap<String, Surveyed>,
    /// The control plane that acts for the cluster: a member whose API answers, else the first of
    /// the inventory.
    pub leader: String,
    /// The cluster that was found, if any.
    pub identity: Option<Identity>,
    /// The `ClusterConfiguration` that kubeadm keeps in the living cluster.
    pub configuration: Option<String>,
    /// The kubelets' configuration that the living cluster keeps.
    pub kubelet: Option<String>,
    /// Names of etcd's voting members, if any member answers.
    pub voters: Option<Vec<String>>,
}

/// What one node said.
#[derive(Debug)]
pub struct Surveyed {
    /// Its facts.
    pub facts: Facts,
    /// Its part in a cluster.
    pub membership: Membership,
}

/// A node's part in a cluster, judged by live state, not by one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// Nothing of Kubernetes is there.
    Absent,
    /// Something is there, but the node is no working member; what was found.
    Partial(String),
    /// A member: files, Node object, and for a control plane a voting etcd member.
    Member,
    /// Another cluster's.
    Foreign(Identity),
    /// Bare, while the cluster still lists a node (or etcd member) of its name.
    Stale,
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
        let answers = |facts: &Facts| facts.api_nodes.is_some() && facts.identity == identity;
        let view = views.iter().find(|(name, facts)| {
            answers(facts)
                && facts.api_nodes.as_ref().is_some_and(|nodes| nodes.contains_key(*name))
        });
        let first = control_planes().next();
        let leader = view.map(|(name, _)| *name).or(first).cloned().unwrap_or_default();
        let configuration = view.and_then(|(_, facts)| facts.configuration.clone());
        let kubelet = view.and_then(|(_, facts)| facts.kubelet.clone());
        let view = view.map(|(_, facts)| *facts);
        let ours = |facts: &Facts| facts.identity.is_some() && facts.identity == identity;
        let voters = views.iter().find_map(|(_, f)| f.etcd_voters.clone().filter(|_| ours(f)));
        let begun = unfinished_init(&facts, configuration.is_some());
        let mut nodes = BTreeMap::new();
        for node in &cluster.nodes {
            let facts = facts.get(&node.name).cloned();
            let facts = facts.ok_or_else(|| Error::new(Kind::Bug, "a node without facts"))?;
            let mut membership =
                membership(&node.name, node.role, &facts, identity.as_ref(), view, voters.as_ref());
            if begun.as_ref() == Some(&node.name) && membership == Membership::Member {
                membership = Membership::Partial("`kubeadm init` did not finish".to_owned());
            }
            nodes.insert(node.name.clone(), Surveyed { facts, membership });
        }
        Ok(Self { nodes, leader, identity, configuration, kubelet, voters })
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

    /// Why what is unfinished on `node` may not be undone, if so: a reset of a node that votes, or
    /// whose part nobody can tell, could cost the cluster.
    #[must_use]
    pub fn forbids_reset(&self, node: &str) -> Option<String> {
        let surveyed = self.nodes.get(node)?;
        let facts = &surveyed.facts;
        if facts.identity.is_none() || facts.identity != self.identity {
            return Some(
                "whose they are cannot be told: no CA certificate of ours is there".into(),
            );
        }
        let all = || self.nodes.iter().map(|(name, one)| (name.clone(), one.facts.clone()));
        if unfinished_init(&all().collect(), self.configuration.is_some()).as_deref() == Some(node)
        {
            return None;
        }
        match &self.voters {
            Some(voters) if voters.iter().any(|voter| voter == node) => {
                Some(format!("it is one of etcd's {} voting members", voters.len()))
            }
            _ if self.configuration.is_none() => {
                Some("no control plane's API answers to say whether it is a member".to_owned())
            }
            None => {
                Some("no control plane's etcd answers to say whether it is a member".to_owned())
            }
            Some(_) => None,
        }
    }

    /// Whether any node of the inventory is a member.
    #[must_use]
    pub fn any_member(&self) -> bool {
        self.nodes.keys().any(|node| self.is_member(node))
    }
}

/// The node on which an init began and did not finish: it still has `super-admin.conf`, no cluster
/// knows its own configuration, and no other node has joined.
fn unfinished_init(facts: &BTreeMap<String, Facts>, configured: bool) -> Option<String> {
    let has = |facts: &Facts, file: &str| facts.files.iter().any(|f| f == file);
    let mut joined = facts.iter().filter(|(_, f)| has(f, "kubelet.conf") || has(f, "etcd-data"));
    let (name, only) = joined.next()?;
    (!configured && joined.next().is_none() && has(only, "super-admin.conf")).then(|| name.clone())
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

fn membership(
    name: &str,
    role: Role,
    facts: &Facts,
    identity: Option<&Identity>,
    view: Option<&Facts>,
    voters: Option<&Vec<String>>,
) -> Membership {
    if let Some(theirs) = &facts.identity
        && Some(theirs) != identity
    {
        return Membership::Foreign(theirs.clone());
    }
    let listed =
        view.and_then(|view| view.api_nodes.as_ref()).map(|nodes| nodes.contains_key(name));
    let votes = voters.map(|voters| voters.iter().any(|voter| voter == name));
    let has = |file: &str| facts.files.iter().any(|f| f == file);
    let needed: &[&str] = match role {
        Role::Worker => &["pki/ca.crt", "kubelet.conf"],
        Role::ControlPlane => &[
            "pki/ca.crt",
            "kubelet.conf",
            "admin.conf",
            "manifests/kube-apiserver.yaml",
            "manifests/etcd.yaml",
            "etcd-data",
        ],
    };
    // A control plane's shared keys are written before its join; a worker's CA comes with it.
    let early = |file: &String| role == Role::ControlPlane && file == "pki/ca.crt";
    let bare = facts.files.iter().all(early);
    if bare {
        let stale = listed == Some(true) || (role == Role::ControlPlane && votes == Some(true));
        return if stale { Membership::Stale } else { Membership::Absent };
    }
    let lacking: Vec<&str> = needed.iter().copied().filter(|file| !has(file)).collect();
    if !lacking.is_empty() {
        return Membership::Partial(format!("{} missing", lacking.join(", ")));
    }
    // Where no API answers, whole files are the best there is: never a reason to start over.
    match (listed, votes, role) {
        (Some(false), _, _) => Membership::Partial("no Node object in the cluster".to_owned()),
        (_, Some(false), Role::ControlPlane) => {
            Membership::Partial("no voting etcd member".to_owned())
        }
        _ => Membership::Member,
    }
}
