//! Half-joined, reinstalled, dead and foreign nodes; two operators.

use std::time::{Duration, Instant};

use super::lab_cluster::{INVENTORY, LabCluster};
use super::running::Running;
use super::support::{CONNECTION, PREFLIGHT, eventually, run, secs};
use super::{Case, Start};

pub const CASES: &[Case] = &[
    Case {
        name: "join aborted after `member add`",
        fault: "a control plane's join was aborted by hand after etcd had a new member, before it ran (kubeadm#2095)",
        answer: "removes the dead member, which is provably that node's, and joins",
        often: false,
        start: Start::Whole,
        run: aborted_after_member_add,
    },
    Case {
        name: "join aborted after etcd's manifest",
        fault: "kubeadm was killed between etcd's manifest and the kubelet's credentials (kubeadm#3269)",
        answer: "undoes it while the member does not vote, else goes on from there",
        often: false,
        start: Start::Whole,
        run: aborted_after_manifest,
    },
    Case {
        name: "first control plane reinstalled",
        fault: "cp-1 is wiped and reinstalled under its name",
        answer: "never makes a second cluster: removes its dead member and node, and joins it",
        often: false,
        start: Start::Whole,
        run: |cluster| reinstalled(cluster, "cp-1"),
    },
    Case {
        name: "worker reinstalled",
        fault: "a worker is wiped and reinstalled under its name",
        answer: "deletes the old Node object, by its UID, and joins it",
        often: false,
        start: Start::Whole,
        run: |cluster| reinstalled(cluster, "w-1"),
    },
    Case {
        name: "node of another cluster",
        fault: "a node carries another cluster's CA",
        answer: "refuses, and names both clusters",
        often: false,
        start: Start::Whole,
        run: foreign_node,
    },
    Case {
        name: "two operators at once",
        fault: "a second apply starts while one goes on",
        answer: "the second says who holds the nodes since when, and changes nothing",
        often: false,
        start: Start::Whole,
        run: two_operators,
    },
    Case {
        name: "operator falls silent",
        fault: "the first of two applies is stopped (SIGSTOP) in the middle",
        answer: "its nodes are free within 30 s; when it wakes up, it takes them again only if nobody else has them, and looks before it changes anything",
        often: false,
        start: Start::Whole,
        run: silent_operator,
    },
    Case {
        name: "dead worker",
        fault: "one worker of five nodes is switched off while another thing is to be done",
        answer: "does it, names the dead worker, exits with 66",
        often: false,
        start: Start::Whole,
        run: dead_worker,
    },
];

fn ca(cluster: &LabCluster, node: &str) -> String {
    cluster.lab.on(node, "sha256sum </etc/kubernetes/pki/ca.crt")
}

fn reinstalled(cluster: &LabCluster, node: &str) -> String {
    let before = ca(cluster, "cp-2");
    cluster.reinstall(node);
    let plan = cluster.lab.plan(INVENTORY);
    assert_eq!(plan.ran.code, 0, "{}", plan.ran.both());
    assert!(!plan.ran.both().contains("start a new cluster"), "{}", plan.ran.both());
    let began = Instant::now();
    cluster.apply_whole("an apply after a reinstallation");
    assert_eq!(before, ca(cluster, node), "the same cluster");
    format!("whole again after {} s", began.elapsed().as_secs())
}

const ETCDCTL: &str = "etcdctl --endpoints=https://127.0.0.1:2379 \
    --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt \
    --key=/etc/kubernetes/pki/etcd/healthcheck-client.key";

fn aborted_after_member_add(cluster: &LabCluster) -> String {
    cluster.reinstall("cp-3");
    let at = cluster.lab.nodes.iter().find(|node| node.name == "cp-3").unwrap().address.clone();
    let old = format!(
        "id=$({ETCDCTL} member list | awk -F', ' '$3 == \"cp-3\" {{ print $1 }}'); \
        {ETCDCTL} member remove $id; {ETCDCTL} member add cp-3 --learner --peer-urls=https://{at}:2380"
    );
    cluster.lab.on("cp-1", &old);
    cluster.apply_whole("an apply after an aborted join");
    String::new()
}

fn aborted_after_manifest(cluster: &LabCluster) -> String {
    cluster.reinstall("cp-3");
    let running = {
        let mut running = Running::start(cluster);
        assert!(running.until("cp-3", "up to etcd"));
        running
    };
    cluster.lab.on(
        "cp-3",
        "timeout 60 sh -c 'until [ -e /etc/kubernetes/manifests/etcd.yaml ]; do sleep 0.05; done'; \
        systemctl kill --signal=KILL slipway-run-kubeadm.service",
    );
    let (code, said) = running.end();
    println!("{said}");
    cluster.apply_whole("an apply after kubeadm was killed");
    format!("the first run ended with {code}")
}

fn foreign_node(cluster: &LabCluster) -> String {
    cluster.reinstall("w-1");
    let request = "req -x509 -newkey rsa:2048 -nodes -subj /CN=other -days 2 -keyout /dev/null";
    let words: Vec<&str> = request.split(' ').collect();
    let certificate = run("openssl", &words, "").ok("openssl req");
    let plant = "mkdir -p /etc/kubernetes/pki && cat >/etc/kubernetes/pki/ca.crt";
    cluster.lab.on_with("w-1", plant, &certificate);
    let refused = cluster.lab.apply(INVENTORY);
    refused.assert_refused(PREFLIGHT, &["w-1", "another cluster", "sha256:"], "a foreign node");
    cluster.lab.on("w-1", "rm -r /etc/kubernetes");
    cluster.apply_whole("an apply after the foreign certificate is gone");
    String::new()
}

fn two_operators(cluster: &LabCluster) -> String {
    cluster.reinstall("w-1");
    let mut first = Running::start(cluster);
    assert!(first.until("w-1", ""), "the first run changes nothing");
    let second = cluster.lab.apply(INVENTORY);
    let own = format!("process {}", first.id());
    second.assert_refused(PREFLIGHT, &["another run holds", &own, "since"], "a second operator");
    let (code, said) = first.end();
    assert_eq!(code, 0, "the first run was disturbed:\n{said}");
    cluster.apply_whole("an apply after both");
    String::new()
}

fn silent_operator(cluster: &LabCluster) -> String {
    cluster.reinstall("w-1");
    let mut first = Running::start(cluster);
    assert!(first.until("w-1", "import"), "no import");
    let id = first.id().to_string();
    run("kill", &["-STOP", &id], "").ok("kill -STOP");
    let began = Instant::now();
    let mut free = Duration::ZERO;
    eventually("the nodes are free", secs(60), || {
        free = began.elapsed();
        let second = cluster.lab.apply(INVENTORY);
        if second.ran.code == 0 { Ok(()) } else { Err(second.ran.both()) }
    });
    run("kill", &["-CONT", &id], "").ok("kill -CONT");
    // It may take the lease again, once that is free; there is nothing left to do then.
    let changes: Vec<String> = std::iter::from_fn(|| first.next_change()).collect();
    let (code, said) = first.end();
    assert!(changes.is_empty(), "a run that had lost its lease went on: {changes:#?}");
    assert!([0, CONNECTION].contains(&code), "exit code {code}:\n{said}");
    cluster.apply_whole("an apply after a silent operator");
    assert!(free < Duration::from_secs(30), "free after {} s", free.as_secs());
    format!("an apply that began {} s after the silence did all", free.as_secs())
}

fn dead_worker(cluster: &LabCluster) -> String {
    cluster.lab.lab("kill", &["w-1"]);
    cluster.lab.on("cp-2", "rm /etc/sysctl.d/*slipway*");
    let run = cluster.lab.apply(INVENTORY);
    assert_eq!(run.ran.code, CONNECTION, "{}", run.ran.both());
    assert!(run.ran.both().contains("w-1"), "{}", run.ran.both());
    assert!(run.events("changing").count() > 0, "nothing was done:\n{}", run.ran.both());
    cluster.lab.on("cp-2", "ls /etc/sysctl.d/*slipway*");
    cluster.lab.lab("start", &["w-1"]);
    cluster.whole();
    String::new()
}
