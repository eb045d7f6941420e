//! What other clusters and other people left on a machine; not what slipway's own unfinished work leaves,
//! nor what its Calico writes.

use super::finding::{ALL, Check, Finding, JOINING, JOINING_CONTROL_PLANES, Severity};
use super::{joining, list};
use crate::cluster::{Cluster, Endpoint, Node, Role};
use crate::diagnostic::printable;
use crate::survey::{Membership, Survey, Surveyed};

pub(super) const POD_NETWORK: Check = Check {
    name: "pod-network",
    severity: Severity::Error,
    of: JOINING,
    about: "A configuration of another pod network lies in `/etc/cni/net.d`. containerd takes the \
            first one by name: pods would get addresses that no other node knows. Not looked at \
            where the inventory has `addons: {calico: false}`.",
    todo: "remove the file, or move it to another directory",
};
pub(super) const OTHER_POD_NETWORK: Check = Check {
    name: "other-pod-network",
    severity: Severity::Warning,
    of: ALL,
    about: "On a node that has joined, or begun to, a configuration of another pod network lies in \
            `/etc/cni/net.d`, beside Calico's.",
    todo: "remove the file, and then the pods that started with it: containerd takes the first one by name",
};
pub(super) const ETCD_DATA: Check = Check {
    name: "etcd-data",
    severity: Severity::Error,
    of: JOINING_CONTROL_PLANES,
    about: "Something lies in `/var/lib/etcd`, which kubeadm wants empty (`DirAvailable`). \
            `lost+found` alone, on a disk of its own, is no finding.",
    todo: "look at what it is, and move it away",
};
pub(super) const KUBELET_DATA: Check = Check {
    name: "kubelet-data",
    severity: Severity::Error,
    of: JOINING,
    about: "In `/var/lib/kubelet` lies another kubelet's certificate, by which this one would take \
            itself for that, or its state of processors or memory, with which one of other settings \
            does not start.",
    todo: "run `kubeadm reset` there, or remove what is left in /var/lib/kubelet",
};
pub(super) const INTERFACES: Check = Check {
    name: "pod-interfaces",
    severity: Severity::Warning,
    of: JOINING,
    about: "A network interface of another pod network is there, and its routes may lead away from \
            this cluster's pods.",
    todo: "remove it with `ip link delete`, or reboot the machine",
};
pub(super) const SERVES: Check = Check {
    name: "already-serves",
    severity: Severity::Warning,
    of: JOINING_CONTROL_PLANES,
    about: "haproxy or keepalived have a configuration that slipway did not write and by which they \
            serve something. With `spec.endpoint.vip`, slipway replaces it.",
    todo: "keep a copy of the file, and let that service run elsewhere; or use `spec.endpoint.address`",
};

/// What Calico itself writes into `/etc/cni/net.d`.
const CALICO: &str = "10-calico.conflist";
/// What containerd reads there (`ConfFiles` of CNI's `libcni`).
const READ: &[&str] = &[".conf", ".conflist", ".json"];

/// Interfaces that pod networks make on each node: of flannel, Cilium, Weave, kube-router, Antrea,
/// OVN-Kubernetes, and of kube-proxy with IPVS.
const THEIRS: &[&str] = &[
    "cni0",
    "flannel.1",
    "flannel-v6.1",
    "cilium_host",
    "cilium_net",
    "cilium_vxlan",
    "weave",
    "kube-bridge",
    "antrea-gw0",
    "ovn-k8s-mp0",
    "kube-ipvs0",
];
/// Calico's own, which stay after a `kubeadm reset`.
const CALICOS: &[&str] = &["vxlan.calico", "tunl0", "wireguard.cali"];

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, surveyed) in &survey.nodes {
        let Some(node) = cluster.node(name) else { continue };
        let mut found = |check: &Check, what: String| findings.push(check.on(name, what));
        if cluster.addons.calico && !matches!(surveyed.membership, Membership::Foreign(_)) {
            pod_network(surveyed, &mut found);
        }
        if joining(surveyed) {
            left(cluster, node, surveyed, &mut found);
        }
    }
    findings
}

/// Whether nothing on the node belongs to our cluster.
fn bare(surveyed: &Surveyed) -> bool {
    matches!(surveyed.membership, Membership::Absent | Membership::Stale)
}

fn pod_network(surveyed: &Surveyed, found: &mut impl FnMut(&Check, String)) {
    let read = |file: &&String| READ.iter().any(|ending| file.ends_with(ending));
    let ours = |file: &&String| file.as_str() == CALICO;
    let theirs = surveyed.facts.cni.iter().filter(read).filter(|file| !ours(file));
    let theirs: Vec<String> = theirs.map(|file| printable(file)).collect();
    if !theirs.is_empty() {
        let check = if bare(surveyed) { &POD_NETWORK } else { &OTHER_POD_NETWORK };
        let what = format!("another pod network's {} is in /etc/cni/net.d", list(&theirs));
        found(check, what);
    }
}

fn left(
    cluster: &Cluster,
    node: &Node,
    surveyed: &Surveyed,
    found: &mut impl FnMut(&Check, String),
) {
    let machine = &surveyed.facts.machine;
    let control_plane = node.role == Role::ControlPlane;
    let printed =
        |all: &[String]| -> Vec<String> { all.iter().map(|one| printable(one)).collect() };
    if bare(surveyed) {
        let data: Vec<String> =
            printed(&machine.etcd_left).into_iter().filter(|name| name != "lost+found").collect();
        if control_plane && !data.is_empty() {
            found(&ETCD_DATA, format!("/var/lib/etcd holds {}", list(&data)));
        }
        let kubelet = printed(&machine.kubelet_left);
        if !kubelet.is_empty() {
            found(&KUBELET_DATA, format!("of another kubelet, {} is left", list(&kubelet)));
        }
        let names = machine.links.iter().map(|link| link.name.as_str());
        let other = |name: &&str| {
            THEIRS.contains(name) || (CALICOS.contains(name) && !cluster.addons.calico)
        };
        let names: Vec<&str> = names.filter(other).collect();
        if !names.is_empty() {
            let what = format!("{} is left of another pod network", list(&names));
            found(&INTERFACES, what);
        }
    }
    if control_plane && matches!(cluster.endpoint, Endpoint::Vip { .. }) {
        for file in printed(&machine.serves) {
            found(&SERVES, format!("{file} serves something that is not slipway's"));
        }
    }
}
