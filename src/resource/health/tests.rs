//! What is ill is named, with where and why.

use serde_json::json;

use super::*;

fn ready(kind: &str, name: &str, ready: bool, message: &str) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "kind": kind, "metadata": {"name": name, "namespace": "kube-system"},
        "status": {"conditions": [{"type": "Ready", "status": status, "message": message}]},
    })
}

/// A control plane and a worker, all well.
fn items() -> Vec<Value> {
    let mut items = vec![ready("Node", "cp-1", true, ""), ready("Node", "w-1", true, "")];
    let pods = STATIC_PODS.iter().map(|name| ready("Pod", &format!("{name}-cp-1"), true, ""));
    items.extend(pods);
    items.push(json!({
        "kind": "Deployment", "metadata": {"name": "coredns", "namespace": "kube-system", "generation": 1},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"k8s-app": "kube-dns"}}},
        "status": {"readyReplicas": 2, "observedGeneration": 1},
    }));
    items.push(json!({
        "kind": "DaemonSet", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": {"k8s-app": "kube-proxy"}}},
        "status": {"desiredNumberScheduled": 2, "numberReady": 2},
    }));
    items.push(json!({
        "kind": "APIService", "metadata": {"name": "v1."},
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    }));
    items
}

fn seen_with(items: &[Value], members: &Value, events: &[Value]) -> Output {
    let said = format!("{}{members}\n{}", lines(items), lines(events));
    Output { stdout: said.into(), ..Output::default() }
}

fn seen(items: &[Value]) -> Output {
    seen_with(items, &json!({"members": [{"ID": "a1", "name": "cp-1"}]}), &[])
}

fn healthy() -> Healthy {
    let (nodes, control_planes) = (
        vec!["cp-1".into(), "w-1".into()],
        BTreeMap::from([("cp-1".into(), Ipv4Addr::new(10, 0, 0, 2))]),
    );
    Healthy { nodes, control_planes, network: true, within: Duration::ZERO }
}

fn ill(items: &[Value]) -> Vec<String> {
    healthy().ill(&seen(items), false).unwrap()
}

fn find<'a>(items: &'a mut [Value], name: &str) -> &'a mut Value {
    items.iter_mut().find(|item| item["metadata"]["name"] == name).unwrap()
}

#[test]
fn a_whole_cluster_is_healthy() {
    assert!(ill(&items()).is_empty());
    assert_eq!(healthy().compare(&seen(&items())).unwrap(), Drift::None);
}

#[test]
fn a_node_says_why_it_is_not_ready() {
    let mut items = items();
    *find(&mut items, "w-1") = ready("Node", "w-1", false, "cni plugin not initialized");
    assert_eq!(ill(&items), ["node w-1 is not Ready: cni plugin not initialized"]);
    items.retain(|item| item["metadata"]["name"] != "w-1");
    assert_eq!(ill(&items), ["node w-1 is not in the cluster"]);
}

#[test]
fn a_static_pod_says_why_it_is_not_ready() {
    let mut items = items();
    let mut scheduler = ready("Pod", "kube-scheduler-cp-1", false, "containers not ready");
    let message = "failed to reserve container name";
    scheduler["status"]["containerStatuses"] = json!([{
        "name": "kube-scheduler",
        "state": {"waiting": {"reason": "CreateContainerError", "message": message}},
    }]);
    *find(&mut items, "kube-scheduler-cp-1") = scheduler;
    items.retain(|item| item["metadata"]["name"] != "etcd-cp-1");
    assert_eq!(
        ill(&items),
        [
            "pod etcd-cp-1 is not there",
            "pod kube-scheduler-cp-1 is not ready: container kube-scheduler: CreateContainerError: \
             failed to reserve container name",
        ]
    );
    let Drift::Differs(diff) = healthy().compare(&seen(&items)).unwrap() else { panic!("healthy") };
    assert_eq!(diff.summary, "2 problems");
    assert!(diff.text.unwrap().starts_with("- pod etcd-cp-1 is not there\n"));
}

#[test]
fn workloads_say_where_and_why() {
    let mut items = items();
    find(&mut items, "coredns")["status"]["readyReplicas"] = json!(0);
    let pod = |name: &str, node: Option<&str>, status: Value| {
        let mut pod = ready("Pod", name, false, "containers not ready");
        pod["metadata"]["labels"] = json!({"k8s-app": "kube-dns", "pod-template-hash": "x"});
        pod["spec"] = json!({"nodeName": node});
        pod["status"]["containerStatuses"] = json!([status]);
        pod
    };
    let crash = json!({
        "name": "coredns", "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting"}},
    });
    items.push(pod("coredns-a", Some("w-1"), crash));
    let mut pending = pod("coredns-b", None, json!({}));
    pending["status"]["conditions"] = json!([
        {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"},
    ]);
    items.push(pending);
    assert_eq!(
        ill(&items),
        [
            "kube-system/coredns: 0 of 2 ready (on no node: 0/2 nodes are available; on w-1: container \
          coredns: CrashLoopBackOff: it ended with exit code 1: Error)"
        ]
    );
    let warning = |time: &str, reason: &str| {
        json!({
            "kind": "Event", "type": "Warning", "reason": reason, "message": "m", "lastTimestamp": time,
            "involvedObject": {"kind": "Pod", "name": "coredns-a"},
        })
    };
    let events = [warning("2026-01-02T00:00:00Z", "New"), warning("2026-01-01T00:00:00Z", "Old")];
    let seen = seen_with(&items, &json!({"members": [{"ID": "a1", "name": "cp-1"}]}), &events);
    let why = healthy().explain(&seen).unwrap();
    assert!(why.contains("exit code 1: Error; last warning: New: m"), "{why}");
    // A plan that is saved must read alike a little later.
    let Drift::Differs(diff) = healthy().compare(&seen).unwrap() else { panic!("healthy") };
    assert!(!diff.summary.contains("warning"), "{diff:?}");
}

#[test]
fn what_is_gone_is_named() {
    let mut items = items();
    items.retain(|item| item["kind"] != "Deployment" && item["kind"] != "DaemonSet");
    assert_eq!(ill(&items), ["kube-system/kube-proxy is gone", "kube-system/coredns is gone"]);
}

#[test]
fn an_api_service_says_why_it_is_not_available() {
    let mut items = items();
    find(&mut items, "v1.")["status"]["conditions"][0] =
        json!({"type": "Available", "status": "False", "message": "no endpoints"});
    assert_eq!(ill(&items), ["API service v1. is not available: no endpoints"]);
}

#[test]
fn etcd_has_a_voting_member_on_each_control_plane() {
    let ill = |members: Value| healthy().ill(&seen_with(&items(), &members, &[]), false).unwrap();
    let peer = "https://10.0.0.2:2380";
    assert_eq!(
        ill(
            json!({"members": [{"ID": "a1", "name": "cp-1", "isLearner": true}, {"ID": "a2", "peerURLs": [peer]}]})
        ),
        ["etcd member cp-1 does not vote yet", "etcd member https://10.0.0.2:2380 never started"]
    );
    // Those that never voted and are no node of the inventory are not waited for.
    let others = json!([{"ID": "a1", "name": "cp-1"}, {"ID": "a9", "name": "cp-9", "isLearner": true},
        {"ID": "a2", "peerURLs": ["https://10.0.0.9:2380"]}]);
    assert_eq!(ill(json!({"members": others})), Vec::<String>::new());
    assert_eq!(
        ill(json!({"members": [{"ID": "a9", "name": "cp-9"}]})),
        ["etcd has no member on cp-1"]
    );
    assert_eq!(
        ill(json!({})),
        ["etcd does not answer on the control plane that acts for the cluster"]
    );
}

#[test]
fn a_node_that_is_silent_is_not_waited_for() {
    let mut items = items();
    items.push(ready("Node", "w-2", false, "Kubelet stopped posting node status."));
    find(&mut items, "kube-proxy")["status"]["desiredNumberScheduled"] = json!(3);
    assert!(ill(&items).is_empty());
}

#[test]
fn without_a_network_of_ours_only_what_needs_none_is_asked_for() {
    let mut items = items();
    *find(&mut items, "w-1") = ready("Node", "w-1", false, "no network");
    find(&mut items, "coredns")["status"]["readyReplicas"] = json!(0);
    let bare = Healthy { network: false, ..healthy() };
    assert!(bare.ill(&seen(&items), false).unwrap().is_empty());
    find(&mut items, "kube-proxy")["status"]["numberReady"] = json!(1);
    assert_eq!(bare.ill(&seen(&items), false).unwrap(), ["kube-system/kube-proxy: 1 of 2 ready"]);
}

#[test]
fn silence_is_no_health() {
    for silent in [Output { code: 1, ..Output::default() }, Output::default()] {
        let drift = healthy().compare(&silent).unwrap();
        assert_eq!(drift, Drift::differs("every node Ready, every workload whole"));
        assert_eq!(healthy().explain(&silent).unwrap(), "the API does not answer");
    }
}

#[test]
fn what_is_no_object_is_not_judged() {
    let hostile = "\n{\n[[[\n\u{0}\n1\n\"a\"\n{\"kind\": {}}\n{\"kind\": \"Node\"}\n";
    let well = seen(&items());
    let seen = Output { stdout: [hostile.as_bytes(), &well.stdout].concat(), ..Output::default() };
    assert!(healthy().ill(&seen, false).unwrap().is_empty());
}
