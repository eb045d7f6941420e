//! A machine's part in a cluster, judged by its own evidence (its files, its etcd member, its kubelet's
//! certificate, its Node object), and only then compared with what the inventory says; and the remedy
//! where it is unfinished. A machine that votes in etcd, or may, or that runs pods is never reset.

use std::collections::BTreeMap;

use super::Facts;
use super::facts::Credentials;
use super::listed::{EtcdMember, Listed};
use super::missing::Missing;
use crate::cluster::{Node, Role};
use crate::diagnostic::printable;
use crate::pki::Identity;

/// A node's part in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// Nothing of Kubernetes is there.
    Absent,
    /// Something is there, but the node is no working member.
    Partial(Partial),
    /// A member: files, Node object, credentials, and for a control plane a voting etcd member.
    Member,
    /// Another cluster's.
    Foreign(Identity),
    /// Bare, while the cluster still lists a node or etcd member of its name: it was reinstalled.
    Stale,
    /// A living member that the inventory describes otherwise. Nothing of it is changed.
    Otherwise(Otherwise),
    /// Bare, while another machine, at this address, is a member by its name.
    Taken(String),
}

/// What a living member is, where the inventory says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    /// The node of this name.
    Name(String),
    /// Of this role.
    Role(Role),
    /// Known to the cluster at this address.
    Address(String),
}

/// What is unfinished, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// What keeps it from being a member.
    pub missing: Missing,
    /// How it is resolved.
    pub remedy: Remedy,
}

/// How an unfinished membership is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Undo it (`kubeadm reset`) and join again: it can cost the cluster nothing.
    Reset,
    /// Go on where the join stopped: the node votes in etcd already.
    Resume,
    /// A person must look, for this reason.
    Refuse(String),
}

/// What the living cluster says, as far as it answers.
#[derive(Debug, Default)]
pub(super) struct View<'a> {
    /// The cluster's identity.
    pub(super) identity: Option<&'a Identity>,
    /// Its nodes.
    pub(super) nodes: Option<&'a BTreeMap<String, Listed>>,
    /// etcd's members.
    pub(super) etcd: Option<&'a [EtcdMember]>,
    /// On how many control planes etcd answers.
    pub(super) answering: usize,
    /// The node on which an init began and did not finish.
    pub(super) begun: Option<&'a str>,
    /// No control plane has anything of etcd's: there is no cluster that a reset could cost.
    pub(super) nothing: bool,
}

impl View<'_> {
    /// The machine's own etcd member, if etcd answers and has one.
    fn member(&self, facts: &Facts) -> Option<&EtcdMember> {
        facts.own_member(self.etcd?)
    }

    fn listed(&self, name: &str) -> Option<&Listed> {
        self.nodes?.get(name)
    }

    /// What is listed by the name of a bare machine.
    fn earlier_life(&self, node: &Node, facts: &Facts) -> Membership {
        let elsewhere = |m: &&EtcdMember| {
            m.name == node.name && m.address() != Some(node.internal) && node.role == CP
        };
        if let Some(other) = self.etcd.into_iter().flatten().find(elsewhere) {
            return Membership::Taken(other.peers.join(", "));
        }
        let member = self.etcd.into_iter().flatten().any(|member| member.is_of(node));
        match self.listed(&node.name) {
            // Two machines do not share an address: one that is bare and has it is the old one. One
            // elsewhere may live, even if it does not answer now.
            Some(listed) if !(at(listed, node) && facts.holds(node.internal)) => {
                Membership::Taken(listed.internal.join(", "))
            }
            Some(_) => Membership::Stale,
            None if member && node.role == CP => Membership::Stale,
            None => Membership::Absent,
        }
    }

    /// What the machine is, if it is a living member and the inventory says something else of it.
    fn otherwise(&self, node: &Node, facts: &Facts) -> Option<Otherwise> {
        let member = self.member(facts).filter(|member| member.votes());
        // Where no API answers, a certificate is all there is; and what it names may live.
        let known = |name: &&String| self.nodes.is_none_or(|nodes| nodes.contains_key(*name));
        let named = facts.node.as_ref().filter(known);
        let name = member.map(|member| &member.name).or(named);
        if let Some(name) = name.filter(|name| **name != node.name) {
            return Some(Otherwise::Name(name.clone()));
        }
        // kubeadm writes `admin.conf` before a control plane's kubelet asks for its certificate.
        let role = if member.is_some() || CONTROL_PLANE_TRACES.iter().any(|file| facts.has(file)) {
            CP
        } else {
            Role::Worker
        };
        let lives = member.is_some() || named.is_some();
        if lives && role != node.role {
            return Some(Otherwise::Role(role));
        }
        if let Some(member) = member.filter(|member| member.address() != Some(node.internal)) {
            return Some(Otherwise::Address(member.peers.join(", ")));
        }
        let listed = named.and_then(|name| self.listed(name));
        let moved = listed.filter(|listed| !listed.internal.is_empty() && !at(listed, node));
        moved.map(|listed| Otherwise::Address(listed.internal.join(", ")))
    }
}

const CP: Role = Role::ControlPlane;

/// Whether a Node object has the node's address.
fn at(listed: &Listed, node: &Node) -> bool {
    listed.internal.contains(&node.internal.to_string())
}

/// What is on no worker.
const CONTROL_PLANE_TRACES: &[&str] =
    &["admin.conf", "manifests/kube-apiserver.yaml", "manifests/etcd.yaml", "etcd-data"];

const CONTROL_PLANE: &[&str] = &[
    "pki/ca.crt",
    "kubelet.conf",
    "admin.conf",
    "manifests/kube-apiserver.yaml",
    "manifests/etcd.yaml",
    "etcd-data",
];
const WORKER: &[&str] = &["pki/ca.crt", "kubelet.conf"];

/// Judges `node` by its `facts` and what the cluster says.
pub(super) fn judge(node: &Node, facts: &Facts, view: &View<'_>) -> Membership {
    if let Some(theirs) = &facts.identity
        && Some(theirs) != view.identity
    {
        return Membership::Foreign(theirs.clone());
    }
    // A control plane's shared keys are written before its join; a worker's CA comes with it.
    let early = |file: &String| node.role == CP && file == "pki/ca.crt";
    if facts.files.iter().all(early) {
        return view.earlier_life(node, facts);
    }
    if view.begun != Some(&node.name)
        && facts.identity.is_some()
        && let Some(otherwise) = view.otherwise(node, facts)
    {
        return Membership::Otherwise(otherwise);
    }
    match unfinished(node, facts, view) {
        None => Membership::Member,
        Some(missing) => {
            Membership::Partial(Partial { missing, remedy: remedy(node, facts, view) })
        }
    }
}

/// What keeps the node from being a member. Where no API answers, whole files are the best there
/// is: never a reason to start over.
fn unfinished(node: &Node, facts: &Facts, view: &View<'_>) -> Option<Missing> {
    let listed = view.nodes.map(|nodes| nodes.contains_key(&node.name));
    let needed = if node.role == Role::Worker { WORKER } else { CONTROL_PLANE };
    let lacking: Vec<&'static str> =
        needed.iter().copied().filter(|file| !facts.has(file)).collect();
    if !lacking.is_empty() {
        return Some(Missing::Files(lacking));
    }
    if view.begun == Some(&node.name) {
        return Some(Missing::InitEnd);
    }
    match facts.credentials {
        Some(Credentials::Valid) => {}
        Some(Credentials::Expired) => return Some(Missing::Validity),
        None => return Some(Missing::Certificate),
    }
    if listed == Some(false) {
        return Some(Missing::NodeObject);
    }
    if node.role == Role::Worker {
        return None;
    }
    if view.etcd.is_some() && !view.member(facts).is_some_and(EtcdMember::votes) {
        return Some(Missing::Voter);
    }
    view.listed(&node.name).is_some_and(|listed| !listed.control_plane).then_some(Missing::Label)
}

/// Resetting a node that votes, that runs pods, or whose part is unknown could cost the cluster.
fn remedy(node: &Node, facts: &Facts, view: &View<'_>) -> Remedy {
    let refuse = |why: &str| Remedy::Refuse(why.to_owned());
    if facts.identity.is_none() || facts.identity.as_ref() != view.identity {
        return refuse("it has no CA certificate that says whose they are");
    }
    // An init that did not finish is no cluster, and nobody else has joined it.
    if view.begun.is_some() || view.nothing {
        return Remedy::Reset;
    }
    if view.nodes.is_none() {
        return refuse("no control plane's API answers to say whether it is a member");
    }
    // A control plane that has not come to the end of its join runs no pods but the cluster's own.
    let listed = view.listed(&node.name);
    let works = listed
        .is_some_and(|listed| listed.ready && (listed.control_plane || node.role == Role::Worker));
    let undo = || if works { refuse(WORKS) } else { Remedy::Reset };
    let traces = ["etcd-data", "manifests/etcd.yaml"];
    if node.role == Role::Worker && !traces.iter().any(|trace| facts.has(trace)) {
        return undo();
    }
    let Some(members) = view.etcd else {
        return refuse("no control plane's etcd answers to say whether it is a member");
    };
    let votes = view.member(facts).is_some_and(EtcdMember::votes);
    // Without its data it cannot vote any more: its member is dead, and is removed. A process that
    // still has the files open, though they were deleted, votes.
    if !votes || (!facts.has("etcd-data") && facts.member.is_none()) {
        return undo();
    }
    let joined =
        ["admin.conf", "manifests/kube-apiserver.yaml", "manifests/etcd.yaml", "etcd-data"];
    if joined.iter().all(|file| facts.has(file)) {
        return Remedy::Resume;
    }
    let voters = members.iter().filter(|member| member.votes()).count();
    Remedy::Refuse(format!(
        "it is one of etcd's {voters} voting members, of which {} answer and {} must",
        view.answering,
        voters / 2 + 1
    ))
}

/// Why a node is not reset whose kubelet the cluster hears.
const WORKS: &str = "the cluster has it as a Ready node, which may run pods";

impl Otherwise {
    /// In a few words, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Name(name) => format!("node {} of this cluster", printable(name)),
            Self::Role(Role::ControlPlane) => "a control plane of this cluster".to_owned(),
            Self::Role(Role::Worker) => "a worker of this cluster".to_owned(),
            Self::Address(address) => format!("a member at {}", printable(address)),
        }
    }
}

impl Membership {
    /// In a few words, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Absent => "not in a cluster".to_owned(),
            Self::Partial(partial) => format!("unfinished: {}", partial.missing),
            Self::Member => "member".to_owned(),
            Self::Foreign(identity) => format!("of another cluster, {identity}"),
            Self::Stale => "bare, yet listed by the cluster".to_owned(),
            Self::Otherwise(otherwise) => otherwise.in_words(),
            Self::Taken(address) => {
                format!("bare; the member of its name is at {}", printable(address))
            }
        }
    }
}
