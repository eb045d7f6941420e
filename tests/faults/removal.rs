//! Nodes are taken out of a living cluster, and something goes wrong meanwhile.

use std::time::Instant;

use serde_json::json;

use super::lab_cluster::{INVENTORY, LabCluster};
use super::running::Running;
use super::support::client::{Client, LONGEST};
use super::support::{KUBERNETES, PREFLIGHT, eventually, figure, secs};
use super::{Case, Start};

pub const CASES: &[Case] = &[
    Case {
        name: "first control plane taken out",
        fault: "the first control plane of the inventory is taken out while clients ask the API at the virtual IP",
        answer: "another one takes the virtual IP before the others stop to count on it; the next apply lets it join",
        often: false,
        start: Start::Whole,
        run: first_control_plane,
    },
    Case {
        name: "kill -9 while nodes are taken out",
        fault: "slipway is killed at each change while a control plane and a worker are taken out",
        answer: "the same command goes on, each time, without --force",
        often: false,
        start: Start::Whole,
        run: kill_all_the_way,
    },
    Case {
        name: "power cut while a control plane is taken out",
        fault: "the control plane that is taken out loses power when its reset begins",
        answer: "goes on where the machine is back soon, else fails with its name; the same command goes on, without --force",
        often: false,
        start: Start::Whole,
        run: |cluster| disturbed(cluster, "cp-3", "kubeadm reset", power),
    },
    Case {
        name: "cut while a control plane is taken out",
        fault: "the leader's network is cut for 15 s when it removes the member from etcd",
        answer: "connects again and goes on; what it cannot do in that run, the same command does",
        often: false,
        start: Start::Whole,
        run: |cluster| disturbed(cluster, "cp-1", "etcd", cut),
    },
    Case {
        name: "dead control plane taken out",
        fault: "a control plane is switched off for good",
        answer: "refuses while it is Ready, and then without --force; with it, removes its member and its node",
        often: false,
        start: Start::Whole,
        run: dead_control_plane,
    },
    Case {
        name: "budget in the way of a removal",
        fault: "a pod's disruption budget allows no eviction from a node that is taken out",
        answer: "says whose pod it is; the node takes pods again, and the others still count on it; `node drain \
                 --past-budget` goes past it",
        often: false,
        start: Start::Whole,
        run: budget,
    },
];

fn first_control_plane(cluster: &LabCluster) -> String {
    let lab = &cluster.lab;
    let client = Client::start(lab, &lab.address(100));
    let began = Instant::now();
    let run = lab.node("remove", &["cp-1"]);
    assert_eq!(run.ran.code, 0, "{}", run.ran.both());
    let left = run.took.as_secs();
    let nodes = cluster.kube().get(&["get", "nodes", "-o", "name"]);
    assert!(nodes.lines().count() == 4 && !nodes.contains("cp-1"), "{nodes}");
    cluster.apply_whole("an apply after its first control plane left");
    let gap =
        client.end_with_gap("longest gap while the first control plane left and joined", began);
    assert!(gap < LONGEST, "the API was silent for {gap:?}");
    format!("left in {left} s; the API was silent for at most {:.1} s", gap.as_secs_f64())
}

/// Each run is killed at the first change at which none was before.
fn kill_all_the_way(cluster: &LabCluster) -> String {
    const LEAVE: &[&str] = &["node", "remove", "--yes", "cp-3", "w-2"];
    let mut killed: Vec<String> = Vec::new();
    loop {
        let began = Instant::now();
        let mut running = Running::of(cluster, LEAVE);
        let mut changes = std::iter::from_fn(|| running.next_change());
        if let Some(change) = changes.find(|change| !killed.contains(change)) {
            running.kill();
            killed.push(change);
            assert!(killed.len() < 80, "no end in sight: {killed:#?}");
            continue;
        }
        let (code, said) = running.end();
        // A node may not have noticed the last one's end yet.
        if code == PREFLIGHT && said.contains("another run holds") && began.elapsed() < secs(30) {
            continue;
        }
        assert_eq!(code, 0, "after {killed:#?}:\n{said}");
        break;
    }
    let had = |what: &str| killed.iter().any(|change| change.contains(what));
    assert!(
        ["drain", "keepalived", "etcd", "kubeadm reset", "delete"].into_iter().all(had),
        "{killed:#?}"
    );
    let nodes = cluster.kube().get(&["get", "nodes", "-o", "name"]);
    assert_eq!(nodes.trim_end(), "node/cp-1\nnode/cp-2\nnode/w-1");
    cluster.apply_whole("an apply after a removal that was killed");
    format!("{} boundaries", killed.len())
}

fn power(cluster: &LabCluster, node: &str) {
    cluster.lab.lab("kill", &[node]);
    cluster.lab.lab("start", &[node]);
    eventually("the node answers", secs(60), || cluster.lab.try_on(node, "true", "").tried());
}

fn cut(cluster: &LabCluster, node: &str) {
    cluster.lab.lab("cut", &[node, "--for", "15s"]);
}

/// cp-3 is taken out, and something happens to `node` when it begins `what`.
fn disturbed(cluster: &LabCluster, node: &str, what: &str, fault: fn(&LabCluster, &str)) -> String {
    let mut running = Running::of(cluster, &["node", "remove", "--yes", "cp-3"]);
    assert!(running.until(node, what), "`{what}` never began on {node}");
    fault(cluster, node);
    let (code, said) = running.end();
    println!("{said}");
    cluster.lab.lab("mend", &[node]);
    let (again, _) = eventually("nobody holds the nodes", secs(60), || {
        let run = cluster.lab.node("remove", &["cp-3"]);
        let held = run.ran.both().contains("another run holds");
        if held { Err(run.ran.both()) } else { Ok(run) }
    });
    assert_eq!(again.ran.code, 0, "the first run ended with {code}\n{}", again.ran.both());
    let nodes = cluster.kube().get(&["get", "nodes", "-o", "name"]);
    assert!(nodes.lines().count() == 4 && !nodes.contains("cp-3"), "{nodes}");
    cluster.apply_whole("an apply after a removal that was disturbed");
    format!("the first run ended with {code}")
}

fn dead_control_plane(cluster: &LabCluster) -> String {
    let (lab, kube) = (&cluster.lab, cluster.kube());
    lab.lab("kill", &["cp-2"]);
    lab.node("remove", &["cp-2", "--force"]).assert_refused(
        PREFLIGHT,
        &["cp-2 is Ready, and its machine is not reached"],
        "one that was Ready a moment ago",
    );
    let condition =
        ["get", "node", "cp-2", "-o", "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}"];
    eventually("cp-2 is not Ready", secs(120), || match kube.get(&condition).as_str() {
        "True" => Err("Ready".to_owned()),
        _ => Ok(()),
    });
    lab.node("remove", &["cp-2"]).assert_refused(
        PREFLIGHT,
        &["cp-2 is not Ready", "--force"],
        "without --force",
    );
    let run = lab.node("remove", &["cp-2", "--force"]);
    assert_eq!(run.ran.code, 0, "{}", run.ran.both());
    figure("a dead control plane left", format!("{} s", run.took.as_secs()));
    let nodes = kube.get(&["get", "nodes", "-o", "name"]);
    assert!(!nodes.contains("cp-2"), "{nodes}");
    lab.lab("start", &["cp-2"]);
    cluster.reinstall("cp-2");
    cluster.apply_whole("an apply with a new machine in its place");
    String::new()
}

fn budget(cluster: &LabCluster) -> String {
    const LIMIT: &str = "  drain: {timeout: 20s}\n  kubelet:\n";
    let (lab, kube) = (&cluster.lab, cluster.kube());
    lab.edit("  kubelet:\n", LIMIT);
    let labels = json!({"app": "stays"});
    let metadata = json!({"name": "stays", "namespace": "default"});
    let image = format!("registry.k8s.io/kube-proxy:v{KUBERNETES}");
    let pod = json!({
        "metadata": {"labels": labels},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "w-1"},
            "terminationGracePeriodSeconds": 0,
            // The image is one that every node has; the node lends a program.
            "containers": [{
                "name": "stays",
                "image": image,
                "imagePullPolicy": "Never",
                "command": ["/usr/bin/sleep", "infinity"],
                "volumeMounts": [{"name": "usr", "mountPath": "/usr", "readOnly": true}],
            }],
            "volumes": [{"name": "usr", "hostPath": {"path": "/usr"}}],
        },
    });
    let objects = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
            "replicas": 1, "selector": {"matchLabels": labels}, "template": pod,
        }}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": {
            "maxUnavailable": 0, "selector": {"matchLabels": labels},
        }}),
    ];
    let objects = objects.map(|object| object.to_string()).join("\n---\n");
    kube.apply(&objects);
    let pods = ["get", "pods", "-l", "app=stays", "-o", "jsonpath={.items[*].spec.nodeName}"];
    eventually("its pod is on w-1", secs(60), || match kube.get(&pods).as_str() {
        "w-1" => Ok(()),
        other => Err(other.to_owned()),
    });
    let run = lab.node("remove", &["w-1", "w-2"]);
    assert_ne!(run.ran.code, 0, "{}", run.ran.both());
    assert!(run.ran.both().contains("disruption budget"), "{}", run.ran.both());
    let cordoned = kube.get(&["get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}"]);
    assert_eq!(cordoned, "", "{}", run.ran.both());
    assert_eq!(lab.on("cp-1", "grep -cwE 'w-1|w-2' /etc/hosts").trim(), "2");
    // A person goes past it; the pod waits for its node.
    let run = lab.node("drain", &["w-1", "--past-budget", "default/stays"]);
    assert_eq!(run.ran.code, 0, "{}", run.ran.both());
    assert_eq!(kube.get(&pods), "");
    let run = lab.node("uncordon", &["w-1"]);
    assert_eq!(run.ran.code, 0, "{}", run.ran.both());
    kube.run_with(&["delete", "-f", "-"], &objects).ok("kubectl delete");
    lab.edit(LIMIT, "  kubelet:\n");
    cluster.whole();
    lab.apply(INVENTORY).assert_nothing_to_do("an apply after a removal that a budget forbade");
    String::new()
}
