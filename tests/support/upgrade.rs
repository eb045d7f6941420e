//! A living cluster becomes the next version, while its API and a workload with a budget are asked all the time.

use std::time::Instant;

use serde_json::json;

use super::client::{Client, LONGEST};
use super::kube::{Kube, etcd_whole};
use super::lab::Lab;
use super::{CHANGES, KUBERNETES, eventually, figure, pods, secs, shown};

const INVENTORY: &str = "slipway.yaml";

/// It answers until it is told to end, and for the while that its Service needs to notice.
const SERVER: &str = r#"
use IO::Socket::INET;
my $server = IO::Socket::INET->new(Listen => 64, LocalPort => 8080, ReuseAddr => 1) or die $@;
$SIG{TERM} = sub { exit 0 };
while (1) {
  my $client = $server->accept or next;
  sysread($client, my $request, 4096);
  print $client "HTTP/1.0 200 OK\r\n\r\nopen\n";
  close $client;
}
"#;

/// Asks the Service every 100 ms from a node of its own, and writes down what came of it.
const ASK: &str = r#"systemd-run --quiet --unit=shopper sh -c 'while :; do
  curl -s -f -o /dev/null --max-time 2 http://ADDRESS/ && echo ok || { echo failed; date +%T.%N; }
  sleep 0.1
done >/run/shopper'"#;

/// Three replicas behind a Service, of which one at a time may be away.
fn open_shop(kube: &Kube, version: &str) -> String {
    let labels = json!({"app": "shop"});
    let metadata = json!({"name": "shop", "namespace": pods::NAMESPACE});
    let pod = json!({
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 20,
            "containers": [{
                "name": "shop",
                "image": format!("registry.k8s.io/kube-proxy:v{version}"),
                "imagePullPolicy": "Never",
                "command": ["/usr/bin/perl", "-e", SERVER],
                "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "volumeMounts": [{"name": "usr", "mountPath": "/usr", "readOnly": true}],
            }],
            "volumes": [{"name": "usr", "hostPath": {"path": "/usr"}}],
        },
    });
    let objects = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
            "replicas": 3, "selector": {"matchLabels": labels}, "template": pod,
        }}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {
            "selector": labels, "ports": [{"port": 80, "targetPort": 8080}],
        }}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": {
            "maxUnavailable": 1, "selector": {"matchLabels": labels},
        }}),
    ];
    kube.apply(&objects.map(|object| object.to_string()).join("\n---\n"));
    let rollout = ["-n", pods::NAMESPACE, "rollout", "status", "deployment/shop", "--timeout=60s"];
    kube.get(&rollout);
    let address =
        ["-n", pods::NAMESPACE, "get", "service", "shop", "-o", "jsonpath={.spec.clusterIP}"];
    kube.get(&address)
}

/// From `version` to the newest.
pub fn becomes_the_newest(lab: &Lab, version: &str) {
    let before = lab.kube(version);
    let shop = open_shop(&before, version);
    lab.on("cp-3", &ASK.replace("ADDRESS", &shop));

    lab.edit(version, KUBERNETES);
    let plan = lab.save_plan(INVENTORY, "upgrade.json");
    assert_eq!(plan.ran.code, CHANGES, "plan --exit-code:\n{}", plan.ran.both());
    let said = plan.ran.both();
    for words in ["drain of w-1", "etcd snapshot", &format!("kube-apiserver:v{KUBERNETES}")] {
        assert!(said.contains(words), "not in the plan: {words}\n{said}");
    }
    let client = Client::start(lab, &lab.address(100));
    let began = Instant::now();
    let run = lab.apply_plan(INVENTORY, "upgrade.json");
    let gap =
        client.end_with_gap(&format!("{}: longest gap of the API meanwhile", lab.name), began);
    assert_eq!(run.ran.code, 0, "apply:\n{}", run.ran.both());
    figure(&format!("{}: {version} to {KUBERNETES}", lab.name), shown(run.took));
    let asked = lab.on(
        "cp-3",
        "systemctl stop shopper; grep -c ok /run/shopper; grep -c failed /run/shopper || :",
    );
    figure(
        &format!("{}: requests answered and failed meanwhile", lab.name),
        asked.trim().replace('\n', ", "),
    );
    assert!(gap < LONGEST, "the API was silent for {gap:?}");
    // None is the goal.
    let failed: usize = asked.lines().nth(1).unwrap().parse().unwrap();
    assert!(failed < 10, "{}", lab.on("cp-3", "grep -v ok /run/shopper"));

    let kube = lab.kube(KUBERNETES);
    kube.wait_whole(lab, secs(60));
    eventually("etcd is whole", secs(60), || etcd_whole(lab, "cp-1"));
    let cordoned = kube.get(&["get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}"]);
    assert_eq!(cordoned, "");
    lab.apply(INVENTORY).assert_nothing_to_do("an apply after the upgrade");
}
