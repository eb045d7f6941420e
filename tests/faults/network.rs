//! Packet filters and routes that others made, on a living cluster and under a join.

use serde_json::Value;

use super::lab_cluster::{INVENTORY, LabCluster};
use super::support::{CHANGES, eventually, secs};
use super::{Case, Start};

/// The exit code of what was waited for in vain.
const TIMEOUT: i32 = 69;

pub const CASES: &[Case] = &[
    Case {
        name: "VRRP dropped",
        fault: "the control planes' own firewalls drop VRRP between them",
        answer: "names the control planes that hold the virtual IP at once, and what to let through",
        often: false,
        start: Start::Whole,
        run: vrrp_dropped,
    },
    Case {
        name: "forwarding dropped",
        fault: "a worker's own firewall drops what it forwards",
        answer: "names the chain, before and after the cluster is made",
        often: false,
        start: Start::Whole,
        run: forwarding_dropped,
    },
    Case {
        name: "pod network dropped",
        fault: "what pods send to a worker from other nodes is dropped, as by a cloud's source checks",
        answer: "names the node on which the cluster's DNS does not answer, and does not end with 0",
        often: false,
        start: Start::Whole,
        run: pod_network_dropped,
    },
    Case {
        name: "virtual IP out of reach",
        fault: "a joining worker cannot reach the virtual IP, as behind a cloud's port security",
        answer: "says so in words before the join begins; once it can, the next apply joins it",
        often: false,
        start: Start::Whole,
        run: virtual_ip_out_of_reach,
    },
];

/// Loads a table `inet own` with one chain on a node: `hook` and priority, and the chain's rules.
fn firewall(cluster: &LabCluster, node: &str, hook: &str, rules: &str) {
    let table =
        format!("table inet own {{\nchain own {{\ntype filter hook {hook}; {rules}\n}}\n}}\n");
    cluster.lab.on_with(node, "nft -f -", &table);
}

fn open(cluster: &LabCluster, node: &str) {
    cluster.lab.on(node, "nft delete table inet own");
}

fn vrrp_dropped(cluster: &LabCluster) -> String {
    let vip = cluster.lab.address(100);
    let planes: Vec<&str> = cluster.lab.control_planes().map(|node| node.name.as_str()).collect();
    for plane in &planes {
        firewall(cluster, plane, "input priority 10", "ip protocol 112 drop;");
    }
    eventually("several hold the virtual IP", secs(20), || {
        match super::attacks::holders(cluster, &vip) {
            all if all.len() > 1 => Ok(()),
            all => Err(format!("{all:?}")),
        }
    });
    let plan = cluster.lab.plan(INVENTORY).ran.both();
    assert!(
        plan.contains("hold the virtual IP") && plan.contains("VRRP (IP protocol 112)"),
        "{plan}"
    );
    let apply = cluster.lab.apply(INVENTORY).ran;
    assert_eq!(apply.code, TIMEOUT, "{}", apply.both());
    for words in ["hold it at once", "let VRRP (IP protocol 112) through"] {
        assert!(apply.both().contains(words), "not said: {words}\n{}", apply.both());
    }
    for plane in &planes {
        open(cluster, plane);
    }
    eventually("one holds the virtual IP", secs(20), || {
        match super::attacks::holders(cluster, &vip) {
            all if all.len() == 1 => Ok(()),
            all => Err(format!("{all:?}")),
        }
    });
    cluster.apply_whole("an apply after VRRP was heard again");
    String::new()
}

fn forwarding_dropped(cluster: &LabCluster) -> String {
    let words = "chain own of nftables' table inet own drops what it forwards";
    for (hook, rules) in [
        ("forward priority 10; policy drop", ""),
        ("forward priority 10; policy accept", "ct state established accept; counter reject;"),
    ] {
        firewall(cluster, "w-1", hook, rules);
        let plan = cluster.lab.plan(INVENTORY).ran.both();
        assert!(plan.contains("w-1") && plan.contains(words), "{plan}");
        open(cluster, "w-1");
    }
    firewall(
        cluster,
        "w-1",
        "forward priority 10; policy accept",
        "ip daddr 192.0.2.1 drop; accept;",
    );
    let plan = cluster.lab.plan(INVENTORY).ran.both();
    assert!(!plan.contains("drops what it forwards"), "{plan}");
    open(cluster, "w-1");
    cluster.apply_whole("an apply after that");
    String::new()
}

fn pod_network_dropped(cluster: &LabCluster) -> String {
    // A node that has a pod of CoreDNS itself gets an answer now and then.
    let pods = ["-n", "kube-system", "pods", "--selector", "k8s-app=kube-dns"];
    let pods: Vec<Value> = cluster.kube().objects(&pods).unwrap();
    let has = |node: &&str| pods.iter().any(|pod| pod["spec"]["nodeName"] == **node);
    let node = ["w-1", "w-2", "cp-3"].into_iter().find(|node| !has(node)).unwrap();
    firewall(cluster, node, "input priority 10", "ip saddr 10.244.0.0/16 iif host0 drop;");
    let plan = cluster.lab.plan(INVENTORY).ran;
    assert_eq!(plan.code, CHANGES, "{}", plan.both());
    assert!(plan.both().contains("cluster DNS"), "{}", plan.both());
    let apply = cluster.lab.apply(INVENTORY).ran;
    assert_ne!(apply.code, 0, "{}", apply.both());
    for words in [node, "cluster DNS", "lets only nodes' own addresses through"] {
        assert!(apply.both().contains(words), "not said: {words}\n{}", apply.both());
    }
    open(cluster, node);
    cluster.apply_whole("an apply after the firewall was opened");
    format!("the apply ended with {}", apply.code)
}

fn virtual_ip_out_of_reach(cluster: &LabCluster) -> String {
    let vip = cluster.lab.address(100);
    cluster.reinstall("w-1");
    cluster.lab.on("w-1", &format!("ip route add blackhole {vip}/32"));
    let apply = cluster.lab.apply(INVENTORY).ran;
    assert_ne!(apply.code, 0, "{}", apply.both());
    let words = format!("w-1 cannot reach the virtual IP {vip}:6443");
    assert!(apply.both().contains(&words), "{}", apply.both());
    assert!(apply.both().contains("port security"), "{}", apply.both());
    let joined = cluster.lab.on("w-1", "ls /etc/kubernetes/kubelet.conf 2>/dev/null; :");
    assert_eq!(joined, "", "the join began");
    cluster.lab.on("w-1", &format!("ip route del blackhole {vip}/32"));
    cluster.apply_whole("an apply after the virtual IP could be reached");
    String::new()
}
