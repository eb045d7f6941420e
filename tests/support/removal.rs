//! Nodes are taken out of a living cluster and come back, while somebody asks its API all the time.

use std::time::Instant;

use super::client::{Client, LONGEST};
use super::kube::{Kube, etcd_whole};
use super::lab::Lab;
use super::{PREFLIGHT, eventually, figure, secs, shown};

const INVENTORY: &str = "slipway.yaml";
const LEAVE: [&str; 2] = ["cp-2", "w-2"];

/// What a machine has of a cluster.
const OF_THE_CLUSTER: &str = "ls -d /etc/kubernetes/*.conf /etc/kubernetes/manifests/* /etc/kubernetes/pki/* \
    /var/lib/etcd/member /var/lib/kubelet/* /etc/cni/net.d/* 2>/dev/null; \
    ctr -n k8s.io tasks list -q; ip -br link show | grep -E '^(cali|vxlan)'; ip -br addr | grep -w '10.[0-9.]*100/32'; \
    nft list tables | grep -E 'kube-proxy|calico|slipway'; \
    systemctl is-active kubelet keepalived haproxy slipway-approver | grep -x active";

/// A control plane and a worker leave at once; then the next apply lets them join again.
pub fn nodes_leave_and_come_back(lab: &Lab, kube: &Kube) {
    lab.node("remove", &["w-9"]).assert_refused(
        PREFLIGHT,
        &["w-9 is no node of the inventory"],
        "nobody's name",
    );
    let client = Client::start(lab, &lab.address(100));
    let began = Instant::now();
    let run = lab.node("remove", &LEAVE);
    assert_eq!(run.ran.code, 0, "node remove:\n{}", run.ran.both());
    figure(&format!("{}: a control plane and a worker left", lab.name), shown(run.took));
    let names = kube.get(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
    assert_eq!(names, "cp-1 cp-3 w-1");
    for node in LEAVE {
        assert_eq!(lab.on(node, &format!("{OF_THE_CLUSTER} || :")).trim(), "", "left on {node}");
        assert_eq!(lab.on("cp-1", &format!("grep -cw {node} /etc/hosts || :")).trim(), "0");
    }
    assert_eq!(lab.on("cp-3", "grep -c 'server cp-2 ' /etc/haproxy/haproxy.cfg || :").trim(), "0");
    let text = std::fs::read_to_string(lab.file(INVENTORY)).unwrap();
    let stays = |line: &&str| !LEAVE.iter().any(|node| line.contains(&format!("name: {node},")));
    let fewer: Vec<&str> = text.lines().filter(stays).collect();
    assert_eq!(fewer.len() + LEAVE.len(), text.lines().count(), "{text}");
    std::fs::write(lab.file("fewer.yaml"), fewer.join("\n") + "\n").unwrap();
    lab.plan("fewer.yaml").assert_nothing_to_do("a plan without their lines");

    let run = lab.apply(INVENTORY);
    assert_eq!(run.ran.code, 0, "apply:\n{}", run.ran.both());
    figure(&format!("{}: both joined again", lab.name), shown(run.took));
    let what = format!("{}: longest gap while they left and joined", lab.name);
    let gap = client.end_with_gap(&what, began);
    assert!(gap < LONGEST, "the API was silent for {gap:?}");
    kube.wait_whole(lab, secs(60));
    eventually("etcd is whole", secs(60), || etcd_whole(lab, "cp-1"));
}
