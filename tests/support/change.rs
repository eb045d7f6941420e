//! Settings of a living cluster are changed in its inventory, while somebody asks its API all the time.

use std::time::Instant;

use super::client::{Client, LONGEST};
use super::kube::{Kube, etcd_whole};
use super::lab::Lab;
use super::{CHANGES, eventually, figure, secs, shown};

const INVENTORY: &str = "slipway.yaml";

/// What a static pod is told from now on. One of the four: each takes a quarter of a minute on each node.
const ARGUMENTS: &[(&str, &str)] = &[("kube-apiserver", "--event-ttl=2h")];

const NAME: &str = "203.0.113.7";

/// An argument of the API servers, a setting of all kubelets, and one more name in the API's certificate.
pub fn settings_change_in_place(lab: &Lab, kube: &Kube) {
    let vip = lab.address(100);
    let settings = "  controlPlane:\n    apiServer: {extraArgs: {event-ttl: 2h}}\n  kubelet:\n    \
                    maxPods: 120\n";
    lab.edit("  kubelet:\n", settings);
    lab.edit(&format!("vip: {vip}"), &format!("vip: {vip}, certSANs: [{NAME}]"));
    let plan = lab.save_plan(INVENTORY, "change.json");
    assert_eq!(plan.ran.code, CHANGES, "plan --exit-code:\n{}", plan.ran.both());
    let said = plan.ran.both();
    for words in ["--event-ttl=2h", "maxPods: 120", "+203.0.113.7", "kubelet.service"] {
        assert!(said.contains(words), "not in the plan: {words}\n{said}");
    }

    let client = Client::start(lab, &vip);
    let began = Instant::now();
    let run = lab.apply_plan(INVENTORY, "change.json");
    assert_eq!(run.ran.code, 0, "apply:\n{}", run.ran.both());
    figure(&format!("{}: settings changed in place", lab.name), shown(run.took));
    let what = format!("{}: longest gap while settings changed", lab.name);
    let gap = client.end_with_gap(&what, began);
    assert!(gap < LONGEST, "the API was silent for {gap:?}");

    for node in lab.control_planes() {
        for (pod, argument) in ARGUMENTS {
            let manifest = format!("grep -c -e '{argument}$' /etc/kubernetes/manifests/{pod}.yaml");
            assert_eq!(lab.on(&node.name, &manifest).trim(), "1", "{pod} on {}", node.name);
        }
        let served = format!(
            "openssl s_client -connect {}:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName",
            node.address
        );
        let served = lab.on(&node.name, &served);
        assert!(served.contains(NAME), "{}: {served}", node.name);
    }
    for node in lab.names() {
        let config = kube.get(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/configz")]);
        assert!(config.contains("\"maxPods\":120"), "{node}: {config}");
    }
    kube.wait_whole(lab, secs(60));
    eventually("etcd is whole", secs(60), || etcd_whole(lab, "cp-1"));
    lab.apply(INVENTORY).assert_nothing_to_do("an apply after the settings were changed");
}
