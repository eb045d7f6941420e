//! Undoes an unfinished membership, or that of a node which leaves, and refuses to where something lives.

use super::kubernetes::kubeadm;
use super::{Change, Diff, Disruption, Drift, Guard, Resource};
use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// Nothing is left of a join or an init that did not finish, or of a member that a person takes out. Only ever desired
/// for what the survey proved to be no member, or a person named; and the node is asked once more
/// ([`Resource::guard`]) before it is undone.
pub struct Reset {
    /// The node's name.
    pub node: String,
    /// What the plan proved to be undone.
    pub what: Undone,
}

/// What a reset may find alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// The one member of an etcd whose `kubeadm init` did not finish: no cluster yet.
    Init,
    /// A join: the UID of the Node object that is known to run nothing of users even where it is Ready,
    /// if there is one: that of half a control plane.
    Join(Option<String>),
    /// A member that a person takes out: its pods were moved, and it votes no more.
    Member,
}

const LEFT: &[&str] = &[
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/pki/ca.crt",
    "/var/lib/kubelet/config.yaml",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/var/lib/etcd/member",
];

/// What Calico leaves on a machine, by which its pods would be known once more.
const NETWORK: &str = "/etc/cni/net.d/10-calico.conflist";

/// What every member has, and the last that goes of one that a person takes out: what its kubelet was started with.
const MEMBER: &str = "/var/lib/slipway/stamps/kubelet.service";

/// A kubelet that has stopped registers no node and starts no pod; those that run go on. There may be
/// no such unit any more.
const HOLD: &str =
    "systemctl stop kubelet.service || ! systemctl is-active --quiet kubelet.service";
const RELEASE: &str = "systemctl start kubelet.service";

const LEAVE: &str = include_str!("leave.sh");
const LEAVE_NETWORK: &str = include_str!("leave_network.sh");
const TABLES: &str = include_str!("tables.awk");

/// kubeadm reference, "kubeadm reset": the folders themselves stay.
pub(crate) const GONE: &[&str] = &[
    "/etc/kubernetes/pki/",
    "/etc/kubernetes/manifests/",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/kubelet/",
    "/var/lib/etcd/",
];

impl Reset {
    /// Whether `kubeadm reset` takes away what `probe` reads: files, or the API and etcd, which are
    /// asked with keys among these files.
    #[must_use]
    pub fn takes_away(probe: &Probe) -> bool {
        let gone = |path: &String| GONE.iter().any(|gone| path.starts_with(gone));
        probe.reads().iter().any(gone)
    }
}

impl Resource for Reset {
    fn id(&self) -> String {
        match self.what {
            Undone::Member => "membership".to_owned(),
            _ => "leftovers".to_owned(),
        }
    }

    fn probe(&self) -> Probe {
        let leaves = [NETWORK, MEMBER].into_iter().filter(|_| self.what == Undone::Member);
        Probe::exist(&LEFT.iter().copied().chain(leaves).collect::<Vec<_>>())
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let left: Vec<&str> = text.lines().collect();
        let left = left.join(", ");
        Ok(Drift::unless(
            left.is_empty(),
            match self.what {
                Undone::Member => Diff::delete(format!("kubeadm reset: {left}")),
                _ => Diff::update(format!("undo an unfinished join: {left}")),
            },
        ))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let reset = Change::new("kubeadm reset", kubeadm(&["reset", "--force"], None));
        if self.what != Undone::Member {
            return vec![reset];
        }
        let units = "end the approver and the kubelet";
        let network = "remove what is left of the pods' network";
        vec![
            Change::new(units, Cmd::shell(LEAVE)).repeatable(),
            reset,
            Change::new(network, Cmd::shell(LEAVE_NETWORK).args([NETWORK, MEMBER, TABLES]))
                .repeatable(),
        ]
    }

    fn guard(&self) -> Option<Guard> {
        let [hold, release] = [HOLD, RELEASE].map(Cmd::shell);
        // Of one that a person takes out, the node is Ready until now.
        let node = if self.what == Undone::Member { "" } else { &self.node };
        Some(Guard {
            probe: Probe::alive(node),
            hold: Change::new("stop the kubelet", hold),
            release: Change::new("start the kubelet again", release),
        })
    }

    fn forbidden(&self, seen: &Output) -> Option<String> {
        let text = seen.text();
        let mut nodes = text.lines().filter_map(|line| line.strip_prefix("node="));
        if text.lines().any(|line| line == "votes") && self.what != Undone::Init {
            return Some("its etcd member votes".to_owned());
        }
        // `UID Ready`, as its own kubelet's credentials are told of it.
        let (uid, ready) = nodes.next()?.split_once(' ')?;
        match &self.what {
            Undone::Init | Undone::Member => None,
            Undone::Join(Some(known)) if known == uid => None,
            Undone::Join(_) if ready == "True" => {
                Some("the cluster has it as a Ready node, which may run pods".to_owned())
            }
            Undone::Join(_) => None,
        }
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Reset)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_reset_takes_away() {
        let gone = [
            Probe::file("/etc/kubernetes/pki/sa.key", false, None),
            Probe::exist(&["/etc/kubernetes/kubelet.conf"]),
            Probe::exist(&["/etc/kubernetes/manifests/etcd.yaml"]),
            Probe::etcd_members(),
            Probe::object("/api/v1/nodes/cp-1"),
            Probe::api_server("10.0.0.1"),
            Probe::manifest("x", "", "kind: X"),
            Probe::server_certificate("x"),
            Probe::serving_certificate(),
            Probe::health(),
            Probe::written("", true),
            Probe::written("", false),
            Probe::tokens(),
            Probe::dns("", ""),
            Probe::registration(),
            Probe::cluster_role_binding(""),
        ];
        assert!(gone.iter().all(Reset::takes_away));
        let stays = [
            Probe::file("/etc/slipway/patches/kube-apiserver+json.json", true, None),
            Probe::exist(&["/etc/kubernetes/manifests"]),
            Probe::images(),
            Probe::unit("kubelet.service"),
            Probe::hostname(),
            Probe::exist(&[]),
        ];
        assert!(!stays.iter().any(Reset::takes_away));
    }

    #[test]
    fn nothing_that_lives_is_reset_whatever_the_plan_said() {
        let forbidden = |what: &Undone, seen: &str| {
            let reset = Reset { node: "w-1".into(), what: what.clone() };
            reset.forbidden(&Output { stdout: seen.into(), ..Output::default() })
        };
        let (init, nothing) = (Undone::Init, Undone::Join(None));
        let known = Undone::Join(Some("u1".to_owned()));
        let votes = Some("its etcd member votes".to_owned());
        let works = Some("the cluster has it as a Ready node, which may run pods".to_owned());
        for (what, seen, expected) in [
            (&init, "votes\nnode=u1 True\n", &None),
            (&nothing, "", &None),
            (&nothing, "votes\n", &votes),
            (&known, "votes\nnode=u1 True\n", &votes),
            (&nothing, "node=u1 True\n", &works),
            (&nothing, "node=u1 Unknown\n", &None),
            // It was there when the plan was made, and was proven to be no member.
            (&known, "node=u1 True\n", &None),
            // Another one has come since.
            (&known, "node=u2 True\n", &works),
            // A person says so of a node; of a voter nobody does.
            (&Undone::Member, "node=u1 True\n", &None),
            (&Undone::Member, "votes\nnode=u1 True\n", &votes),
        ] {
            assert_eq!(forbidden(what, seen), *expected, "{what:?}: {seen}");
        }
    }

    /// Docker's rules, and a person's, are not the cluster's, whatever they mention.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "asks a real awk")]
    fn of_packet_filters_the_clusters_part_goes_and_no_other() {
        let calico =
            r#"-m comment --comment "cali:MH9kMp5aNICL-Olv" -m mark --mark 0x1/0x1 -j ACCEPT"#;
        let saved = format!(
            "# Generated by iptables-save\n*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
             :KUBE-SERVICES - [0:0]\n:cali-PREROUTING - [0:0]\n\
             -A PREROUTING -m comment --comment \"service portals\" -j KUBE-SERVICES\n\
             -A PREROUTING -m comment --comment \"not -j KUBE-SERVICES, calico\" -j DOCKER\n\
             -A KUBE-SERVICES -d 10.96.0.1/32 -j cali-PREROUTING\n-A DOCKER -j RETURN\nCOMMIT\n\
             *filter\n:FORWARD ACCEPT [0:0]\n:MY-KUBE-1 - [0:0]\n-A FORWARD {calico}\n\
             -A FORWARD -j MY-KUBE-1\nCOMMIT\n*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j ACCEPT\nCOMMIT\n"
        );
        let changes = format!(
            "*nat\n:KUBE-SERVICES - [0:0]\n:cali-PREROUTING - [0:0]\n\
             -D PREROUTING -m comment --comment \"service portals\" -j KUBE-SERVICES\n\
             -X KUBE-SERVICES\n-X cali-PREROUTING\nCOMMIT\n*filter\n-D FORWARD {calico}\nCOMMIT\n"
        );
        let mut awk = Command::new("awk");
        let mut child =
            awk.arg(TABLES).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(saved.as_bytes()).unwrap();
        let said = child.wait_with_output().unwrap().stdout;
        assert_eq!(String::from_utf8(said).unwrap(), changes);
    }
}
