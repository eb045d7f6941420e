//! Pods on every node: do network, DNS, the API, policies, `logs` and `exec` work?

use serde_json::json;

use super::kube::{Kube, name};
use super::lab::Lab;
use super::{eventually, figure, secs, shown};

pub const NAMESPACE: &str = "e2e";

/// The pods' server. The image is one that every node has; the node's `/usr` lends perl and curl.
const SERVER: &str = r#"
use IO::Socket::INET;
$| = 1;
my $server = IO::Socket::INET->new(Listen => 16, LocalPort => 8080, ReuseAddr => 1) or die $@;
print "listening\n";
while (my $client = $server->accept) {
  sysread($client, my $request, 4096);
  print $client "HTTP/1.0 200 OK\r\n\r\nhello from $ENV{NODE}\n";
  close $client;
}
"#;

/// A pod of the tests.
#[derive(Debug, Clone)]
pub struct Pod {
    pub name: String,
    pub node: String,
    pub ip: String,
}

/// Puts one pod on every node, and checks all that pods are for.
pub fn work(lab: &Lab, kube: &Kube, version: &str) -> Vec<Pod> {
    let pods = deploy(lab, kube, version);
    for pod in &pods {
        names_resolve(kube, pod);
        api_answers(kube, pod);
        logs_and_exec(kube, pod);
    }
    for from in &pods {
        for to in pods.iter().filter(|to| to.node != from.node) {
            eventually(&format!("{} reaches {}", from.node, to.node), secs(20), || {
                reach(kube, from, to)
            });
        }
    }
    pods
}

/// Starts the pods; gives them once all run.
fn deploy(lab: &Lab, kube: &Kube, version: &str) -> Vec<Pod> {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "probe", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": {"app": "probe"}},
            "template": {
                "metadata": {"labels": {"app": "probe"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": "probe",
                        "image": format!("registry.k8s.io/kube-proxy:v{version}"),
                        "imagePullPolicy": "Never",
                        "command": ["/usr/bin/perl", "-e", SERVER],
                        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                        "volumeMounts": [{"name": "usr", "mountPath": "/usr", "readOnly": true}],
                    }],
                    "volumes": [{"name": "usr", "hostPath": {"path": "/usr"}}],
                },
            },
        },
    });
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    kube.apply(&format!("{namespace}\n---\n{set}"));
    let (pods, took) = eventually("a pod runs on every node", secs(120), || {
        kube.whole(lab.nodes.len())?;
        let found = kube.objects(&["-n", NAMESPACE, "pods"])?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let pods: Vec<Pod> = found
            .iter()
            .map(|pod| Pod {
                name: name(pod).to_owned(),
                node: text(&pod["spec"]["nodeName"]),
                ip: text(&pod["status"]["podIP"]),
            })
            .collect();
        if pods.len() == lab.nodes.len() { Ok(pods) } else { Err(format!("{pods:?}")) }
    });
    figure(&format!("{}: a pod on every node", lab.name), shown(took));
    pods
}

fn names_resolve(kube: &Kube, pod: &Pod) {
    for service in ["kubernetes.default.svc.cluster.local", "kubernetes.default"] {
        eventually(&format!("DNS answers on {}", pod.node), secs(30), || {
            let found = kube.exec(&pod.name, &format!("getent ahostsv4 {service}")).tried()?;
            if found.starts_with("10.96.0.1 ") { Ok(()) } else { Err(found) }
        });
    }
}

/// By its service name, with its certificate verified.
fn api_answers(kube: &Kube, pod: &Pod) {
    const ASK: &str = "curl -sS --fail --max-time 5 --cacert \
        /var/run/secrets/kubernetes.io/serviceaccount/ca.crt https://kubernetes.default.svc/version";
    let answer = kube.exec(&pod.name, ASK).ok(&format!("the API service from {}", pod.node));
    assert!(answer.contains("gitVersion"), "{answer}");
}

fn logs_and_exec(kube: &Kube, pod: &Pod) {
    let logs = kube.get(&["-n", NAMESPACE, "logs", &pod.name]);
    assert_eq!(logs, "listening\n", "logs of {}", pod.node);
    let node = kube.exec(&pod.name, "echo $NODE").ok(&format!("exec on {}", pod.node));
    assert_eq!(node.trim(), pod.node);
}

fn reach(kube: &Kube, from: &Pod, to: &Pod) -> Result<(), String> {
    let ask = format!("curl -sS --fail --max-time 3 http://{}:8080/", to.ip);
    let answer = kube.exec(&from.name, &ask).tried()?;
    let expected = format!("hello from {}\n", to.node);
    if answer == expected { Ok(()) } else { Err(answer) }
}

/// A policy that denies is enforced, and only while it is there.
pub fn policy_is_enforced(lab: &Lab, kube: &Kube, pods: &[Pod]) {
    let on = |node: &str| pods.iter().find(|pod| pod.node == node).unwrap();
    let mut workers = lab.workers();
    let from = on(&workers.next().unwrap().name);
    let to = on(&workers.next().unwrap().name);
    reach(kube, from, to).unwrap();
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": NAMESPACE},
        "spec": {"podSelector": {"matchLabels": {"app": "probe"}}, "policyTypes": ["Ingress"]},
    });
    kube.apply(&policy.to_string());
    let (_, took) = eventually("the policy denies", secs(30), || match reach(kube, from, to) {
        // Nothing but a time-out: a policy drops packets.
        Err(why) if why.contains("timed out") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    figure(&format!("{}: a policy denies after", lab.name), shown(took));
    kube.get(&["-n", NAMESPACE, "delete", "networkpolicy", "deny"]);
    eventually("pods speak again", secs(30), || reach(kube, from, to));
}
