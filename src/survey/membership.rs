//! A node's part in a cluster, judged by live state (files, Node object, etcd member, the kubelet's
//! credentials), not by one file; and the way out of a part that is unfinished.

use super::Facts;
use super::facts::{Credentials, EtcdMember};
use crate::cluster::{Node, Role};
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
}

/// What is unfinished, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// What was found, or is missing, in words.
    pub what: String,
    /// The way out.
    pub way: Way,
}

/// What a node lacks whose kubelet may be about to show itself.
const NO_NODE: &str = "no Node object in the cluster";

impl Partial {
    /// Whether all is there but the Node object, which a kubelet makes by itself soon after it started.
    pub(super) fn registers(&self) -> bool {
        self.what == NO_NODE
    }
}

/// The way out of an unfinished membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Undo it (`kubeadm reset`) and join again: it can cost the cluster nothing.
    Reset,
    /// Go on where the join stopped: the node votes in etcd already.
    Finish,
    /// A person must look, for this reason.
    Refuse(String),
}

/// What the living cluster says, as far as it answers.
#[derive(Debug, Default)]
pub(super) struct View<'a> {
    /// The cluster's identity.
    pub(super) identity: Option<&'a Identity>,
    /// Names of its nodes.
    pub(super) nodes: Option<Vec<&'a str>>,
    /// Which of these are marked as control planes.
    pub(super) marked: &'a [String],
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
    /// The etcd member of `node`, if etcd answers and has one.
    fn member(&self, node: &Node) -> Option<&EtcdMember> {
        self.etcd?.iter().find(|member| member.is_of(node))
    }
}

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
    let listed = view.nodes.as_ref().map(|nodes| nodes.contains(&node.name.as_str()));
    let control_plane = node.role == Role::ControlPlane;
    // A control plane's shared keys are written before its join; a worker's CA comes with it.
    let early = |file: &String| control_plane && file == "pki/ca.crt";
    if facts.files.iter().all(early) {
        let stale = listed == Some(true) || (control_plane && view.member(node).is_some());
        return if stale { Membership::Stale } else { Membership::Absent };
    }
    match unfinished(node, facts, view, listed) {
        None => Membership::Member,
        Some(what) => Membership::Partial(Partial { what, way: way(node, facts, view) }),
    }
}

/// What keeps the node from being a member. Where no API answers, whole files are the best there
/// is: never a reason to start over.
fn unfinished(node: &Node, facts: &Facts, view: &View<'_>, listed: Option<bool>) -> Option<String> {
    let needed = if node.role == Role::Worker { WORKER } else { CONTROL_PLANE };
    let lacking: Vec<&str> = needed.iter().copied().filter(|file| !facts.has(file)).collect();
    if !lacking.is_empty() {
        return Some(format!("{} missing", lacking.join(", ")));
    }
    if view.begun == Some(&node.name) {
        return Some("`kubeadm init` did not finish".to_owned());
    }
    match facts.credentials {
        Some(Credentials::Valid) => {}
        Some(Credentials::Expired) => return Some("the kubelet's certificate expired".to_owned()),
        None => return Some("the kubelet has no certificate".to_owned()),
    }
    if listed == Some(false) {
        return Some(NO_NODE.to_owned());
    }
    if node.role == Role::Worker {
        return None;
    }
    if view.etcd.is_some() && !view.member(node).is_some_and(EtcdMember::votes) {
        return Some("no voting etcd member".to_owned());
    }
    // kubeadm's last phase of a join does that.
    (listed == Some(true) && !view.marked.contains(&node.name))
        .then(|| "not marked as a control plane".to_owned())
}

/// A reset of a node that votes, or whose part nobody can tell, could cost the cluster.
fn way(node: &Node, facts: &Facts, view: &View<'_>) -> Way {
    let refuse = |why: &str| Way::Refuse(why.to_owned());
    if facts.identity.is_none() || facts.identity.as_ref() != view.identity {
        return refuse("whose they are cannot be told: no CA certificate of ours is there");
    }
    // An init that did not finish is no cluster, and nobody else has joined it.
    if view.begun.is_some() || view.nothing {
        return Way::Reset;
    }
    if view.nodes.is_none() {
        return refuse("no control plane's API answers to say whether it is a member");
    }
    if node.role == Role::Worker {
        return Way::Reset;
    }
    let Some(members) = view.etcd else {
        return refuse("no control plane's etcd answers to say whether it is a member");
    };
    let votes = view.member(node).is_some_and(EtcdMember::votes);
    // Without its data it cannot vote any more: its member is dead, and is removed.
    if !votes || !facts.has("etcd-data") {
        return Way::Reset;
    }
    let joined = ["admin.conf", "manifests/kube-apiserver.yaml", "manifests/etcd.yaml"];
    if joined.iter().all(|file| facts.has(file)) {
        return Way::Finish;
    }
    let voters = members.iter().filter(|member| member.votes()).count();
    Way::Refuse(format!(
        "it is one of etcd's {voters} voting members, of which {} answer and {} must",
        view.answering,
        voters / 2 + 1
    ))
}

impl Membership {
    /// In a few words, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Absent => "not in a cluster".to_owned(),
            Self::Partial(partial) => format!("unfinished: {}", partial.what),
            Self::Member => "member".to_owned(),
            Self::Foreign(identity) => format!("of another cluster, {identity}"),
            Self::Stale => "bare, yet listed by the cluster".to_owned(),
        }
    }
}
