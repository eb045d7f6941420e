//! The ports that Kubernetes and slipway listen on, and who has them already.

use std::net::Ipv4Addr;

use super::finding::{Check, Finding, JOINING, Severity};
use crate::cluster::{ALIVE_PORT, API_PORT, Cluster, Endpoint, Node, Role};
use crate::diagnostic::printable;
use crate::survey::Listener;
use crate::survey::{Membership, Survey};

pub(super) const PORT: Check = Check {
    name: "port",
    severity: Severity::Error,
    of: JOINING,
    about: "Somebody listens on a TCP port that is needed: on every node 10248 and 10250 (kubelet), \
            10249 and 10256 (kube-proxy), 9099 (Calico); on control planes 6443 (API server), 2379, \
            2380 and 2381 (etcd), 10257 (controller manager), 10259 (scheduler), and 8405 (haproxy) \
            with a virtual IP.",
    todo: "stop what listens there, or let it use another port",
};

/// etcd's ports for clients and for its other members.
pub(super) const ETCD: [u16; 2] = [2379, 2380];
/// The kubelet's API.
pub(super) const KUBELET: u16 = 10250;

/// Each port and who needs it: those that kubeadm looks at (`InitNodeChecks`, `JoinNodeChecks`), and
/// those whose loss it does not notice.
const EVERYWHERE: &[(u16, &str)] = &[
    (10248, "the kubelet's health"),
    (KUBELET, "the kubelet"),
    (10249, "kube-proxy's metrics"),
    (10256, "kube-proxy's health"),
];
const CONTROL_PLANE: &[(u16, &str)] = &[
    (API_PORT, "the API server"),
    (2379, "etcd"),
    (2380, "etcd"),
    (2381, "etcd's metrics"),
    (10257, "the controller manager"),
    (10259, "the scheduler"),
];
const CALICO: (u16, &str) = (9099, "Calico's health");
const HAPROXY: (u16, &str) = (ALIVE_PORT, "haproxy's health");

/// The ports that `node` needs, and what for.
pub(super) fn needed(cluster: &Cluster, node: &Node) -> Vec<(u16, &'static str)> {
    let control_plane = node.role == Role::ControlPlane;
    let mut ports = EVERYWHERE.to_vec();
    ports.extend(CONTROL_PLANE.iter().filter(|_| control_plane));
    ports.extend(cluster.addons.calico.then_some(CALICO));
    ports.extend((control_plane && vip(cluster).is_some()).then_some(HAPROXY));
    ports
}

/// The virtual IP, if the cluster has one.
pub(super) fn vip(cluster: &Cluster) -> Option<Ipv4Addr> {
    match cluster.endpoint {
        Endpoint::Vip { address, .. } => Some(address),
        _ => None,
    }
}

/// Only on bare nodes: what listens on others is what an unfinished join has left, or a member.
pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in &cluster.nodes {
        let Some(facts) = survey.facts(&node.name) else { continue };
        if survey.membership(&node.name) != Some(&Membership::Absent) {
            continue;
        }
        for (port, what_for) in needed(cluster, node) {
            let mut listeners = facts.machine.listeners.iter();
            let listener = listeners.find(|l| l.port == port && !is_our_haproxy(cluster, l));
            if let Some(listener) = listener {
                let what = format!("port {port}, for {what_for}, is in use by {}", who(listener));
                findings.push(PORT.on(&node.name, what));
            }
        }
    }
    findings
}

/// slipway's own haproxy, of a run that did not get as far as the cluster.
fn is_our_haproxy(cluster: &Cluster, listener: &Listener) -> bool {
    let Some(vip) = vip(cluster) else { return false };
    let at =
        |address: Ipv4Addr, port| listener.address == address.to_string() && listener.port == port;
    listener.process == "haproxy" && (at(vip, API_PORT) || at(Ipv4Addr::LOCALHOST, ALIVE_PORT))
}

fn who(listener: &Listener) -> String {
    let process = printable(&listener.process);
    match (process.as_str(), listener.pid) {
        ("", _) => "an unknown process".to_owned(),
        (_, Some(pid)) => format!("{process} (process {pid})"),
        (_, None) => process,
    }
}
