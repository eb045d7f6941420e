//! Settings with which a program does not start.

use super::lab_cluster::{INVENTORY, LabCluster};
use super::{Case, Start};

pub const CASES: &[Case] = &[Case {
    name: "argument that ends the API server",
    fault: "an argument of the API server names a file that is not there",
    answer: "stops at the first control plane and says so; the others keep theirs, the API answers at the \
             endpoint; the next apply without the argument mends it",
    often: false,
    start: Start::Whole,
    run: argument_that_ends_the_api_server,
}];

fn argument_that_ends_the_api_server(cluster: &LabCluster) -> String {
    let lab = &cluster.lab;
    let argument =
        "  controlPlane: {apiServer: {extraArgs: {audit-policy-file: /etc/nowhere.yaml}}}\n";
    lab.variant("broken.yaml", "  kubelet:\n", &format!("{argument}  kubelet:\n"));
    let apply = lab.apply("broken.yaml").ran;
    assert_ne!(apply.code, 0, "{}", apply.both());
    assert!(apply.both().contains("kube-apiserver"), "{}", apply.both());
    let has = "grep -c audit-policy-file /etc/kubernetes/manifests/kube-apiserver.yaml || :";
    let changed = lab.control_planes().filter(|node| lab.on(&node.name, has).trim() == "1").count();
    assert_eq!(changed, 1, "{}", apply.both());
    let nodes = cluster.kube().get(&["get", "nodes", "-o", "name"]);
    assert_eq!(nodes.lines().count(), lab.nodes.len(), "the API at the endpoint: {nodes}");
    cluster.apply_whole("an apply without the argument");
    lab.apply(INVENTORY).assert_nothing_to_do("one more apply");
    format!("the apply ended with {}", apply.code)
}
