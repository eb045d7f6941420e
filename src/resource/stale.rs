//! What the cluster lists of a node that is no more: it was reinstalled, its join was aborted, or a person takes it
//! out. A step removes only what is provably that node's.

use super::{Change, Diff, Disruption, Drift, Resource};
use crate::command::{Cmd, Input, Output, admin, kubectl};
use crate::diagnostic::Result;
use crate::etcd::MemberList;
use crate::probe::Probe;

/// etcd is without a member: one that will never come back, or whose node leaves.
pub struct NoEtcdMember {
    /// The member's id, hexadecimal.
    pub id: String,
    /// The node that it was.
    pub node: String,
    /// Whether it voted.
    pub voted: bool,
    /// Whether it still answers.
    pub alive: bool,
}

/// It succeeds, too, where the member is gone already (`kubeadm reset` on the node removes its own).
const REMOVE: &str =
    concat!(admin!(), r#"$etcdctl member remove "$1" || ! $etcdctl member list | grep -q "^$1""#);

impl Resource for NoEtcdMember {
    fn id(&self) -> String {
        format!("etcd without the member of {}", self.node)
    }

    fn probe(&self) -> Probe {
        Probe::etcd_members()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let list = MemberList::read(&seen.json());
        let gone = list.is_some_and(|list| !list.members.iter().any(|one| one.id == self.id));
        Ok(Drift::unless(gone, Diff::delete(format!("remove member {}", self.id))))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let what = format!("remove the etcd member of {}", self.node);
        vec![Change::new(what, Cmd::shell(REMOVE).arg(&self.id)).repeatable()]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        self.voted.then_some(Disruption::VoterLeaves { alive: self.alive })
    }
}

/// The Node object of a machine that was reinstalled, or leaves, is gone.
pub struct NoNode {
    /// The node.
    pub node: String,
    /// The object's UID: another object of that name stays.
    pub uid: String,
}

impl Resource for NoNode {
    fn id(&self) -> String {
        format!("cluster without the node {}", self.node)
    }

    fn probe(&self) -> Probe {
        Probe::object(&format!("/api/v1/nodes/{}", self.node))
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let node = seen.json();
        let uid = node.pointer("/metadata/uid").and_then(|uid| uid.as_str());
        Ok(Drift::unless(uid != Some(&self.uid), Diff::delete(format!("remove, UID {}", self.uid))))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        const DELETE: &str = concat!(kubectl!(), r#" delete --raw "/api/v1/nodes/$1" -f -"#);
        let options = serde_json::json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": self.uid},
        });
        let cmd = Cmd::shell(DELETE)
            .arg(&self.node)
            .stdin(Input::Bytes(options.to_string().into_bytes()));
        vec![Change::new(format!("delete the Node object {}", self.node), cmd).repeatable()]
    }
}

/// A resource that depends on what an earlier step of the same run changes, so a plan treats it as absent: one
/// in a Node object that is deleted and that a kubelet recreates. Only for resources without a disruption, guard
/// or timeout: the wrapper keeps [`Resource`]'s defaults for these.
pub struct Recreated<R>(pub R);

impl<R: Resource> Resource for Recreated<R> {
    fn id(&self) -> String {
        self.0.id()
    }

    fn probe(&self) -> Probe {
        self.0.probe()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        self.0.compare(seen)
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        self.0.converge(seen)
    }

    fn self_verifying(&self) -> bool {
        self.0.self_verifying()
    }

    fn best_effort(&self, seen: &Output) -> bool {
        self.0.best_effort(seen)
    }

    fn recreated_earlier(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    #[test]
    fn only_that_member_and_that_object_go() {
        let member =
            NoEtcdMember { id: "a1".into(), node: "cp-2".into(), voted: true, alive: false };
        let list = |id: &str| seen(&format!(r#"{{"members":[{{"ID":"{id}","name":"cp-2"}}]}}"#));
        assert_ne!(member.compare(&list("a1")).unwrap(), Drift::None);
        assert_eq!(member.compare(&list("a2")).unwrap(), Drift::None);
        assert_ne!(member.compare(&seen("")).unwrap(), Drift::None, "no answer proves nothing");
        let node = NoNode { node: "w-1".into(), uid: "u1".into() };
        let object = |uid: &str| seen(&format!(r#"{{"metadata":{{"uid":"{uid}"}}}}"#));
        assert_ne!(node.compare(&object("u1")).unwrap(), Drift::None);
        assert_eq!(node.compare(&object("u2")).unwrap(), Drift::None);
        assert_eq!(node.compare(&seen("")).unwrap(), Drift::None);
    }
}
