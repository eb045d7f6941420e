//! What kubeadm made, changed by hand: a plan shows each change, an apply puts all of it back.

use serde_json::Value;

use super::kube::Kube;
use super::lab::{Lab, Run};
use super::{CHANGES, eventually, figure, secs, shown};

const INVENTORY: &str = "slipway.yaml";
const ROTATION: &str = "kubeadm:node-autoapprove-certificate-rotation";
const APPROVAL: &str = "kubeadm:node-autoapprove-bootstrap";
const TAINT: &str = "node-role.kubernetes.io/control-plane";

/// Takes away what the images of two components say of themselves, and ends their containers: no new
/// ones can be made.
const HOLLOW: &str = r#"for n in kube-scheduler kube-controller-manager; do
  digest=$(ctr -n k8s.io images ls 2>/dev/null | awk -v n="/$n:" 'index($1, n) { print $3; exit }')
  config=$(ctr -n k8s.io content get "$digest" 2>/dev/null | tr ',' '\n' | grep -o 'sha256:[0-9a-f]*' | head -n 1)
  ctr -n k8s.io content rm "$config" >/dev/null
  for id in $(ctr -n k8s.io containers list -q "labels.\"io.cri-containerd.kind\"==container,labels.\"io.kubernetes.container.name\"==\"$n\"" 2>/dev/null); do
    ctr -n k8s.io tasks kill --signal SIGKILL "$id" 2>/dev/null || :
  done
done"#;

/// A change by hand: which resource of which node a plan must show, and what it must say of it.
struct Change {
    node: &'static str,
    id: &'static str,
    says: &'static str,
}

const SHOWN: &[Change] = &[
    Change { node: "cp-1", id: "kubeadm's objects", says: "+  name: coredns" },
    Change {
        node: "cp-1",
        id: "kubeadm's objects",
        says: "+  name: kubeadm:node-autoapprove-cert",
    },
    Change {
        node: "cp-1",
        id: "absence of ClusterRoleBinding kubeadm:node-autoapprove-bootstrap",
        says: "remove",
    },
    Change { node: "cp-1", id: "taints of cp-2", says: TAINT },
    Change { node: "cp-2", id: "static pod kube-apiserver", says: "-    - --profiling=false" },
    Change { node: "w-1", id: "kubelet's configuration", says: "+rotateCertificates: true" },
    Change { node: "w-2", id: "Calico's /etc/cni/net.d/10-calico.conflist", says: "gone" },
    // One of them has a generation, one a version, one neither.
    Change { node: "cp-1", id: "manifest metrics-server", says: "-  groupPriorityMinimum: 101" },
    Change { node: "cp-1", id: "manifest metrics-server", says: "system:metrics-server" },
    Change { node: "cp-1", id: "manifest calico", says: "-  maxUnavailable: 2" },
    Change { node: "cp-3", id: "images to start with", says: "import kube-controller-manager" },
    Change { node: "cp-1", id: "cluster health", says: "kube-system/coredns is gone" },
    Change { node: "cp-1", id: "cluster health", says: "node w-2 is not Ready: " },
    Change { node: "cp-1", id: "cluster health", says: "pod kube-scheduler-cp-3 is not ready: " },
    Change {
        node: "cp-1",
        id: "cluster health",
        says: "pod kube-controller-manager-cp-3 is not ready: ",
    },
];

/// Changes all of it, looks, and applies.
pub fn is_shown_and_put_back(lab: &Lab, kube: &Kube) {
    change(lab, kube);
    let plan = lab.save_plan(INVENTORY, "drift.json");
    assert_eq!(plan.ran.code, CHANGES, "plan --exit-code:\n{}", plan.ran.both());
    for change in SHOWN {
        let told = told(&plan, change);
        assert!(told.contains(change.says), "{} on {}: {told}", change.id, change.node);
    }
    let run = lab.apply(INVENTORY);
    assert_eq!(run.ran.code, 0, "apply:\n{}", run.ran.both());
    figure(&format!("{}: eleven changes by hand put back", lab.name), shown(run.took));
    kube.wait_whole(lab, secs(60));
    kube.get(&["get", "clusterrolebinding", ROTATION]);
    let binding = kube.run(&["get", "clusterrolebinding", APPROVAL]);
    assert!(binding.stderr.contains("NotFound"), "{}", binding.both());
    let taints = kube.get(&["get", "node", "cp-2", "-o", "jsonpath={.spec.taints}"]);
    assert!(taints.contains(TAINT), "{taints}");
    let count = |node, text| lab.on(node, text).trim().to_owned();
    let manifest = "grep -c profiling /etc/kubernetes/manifests/kube-apiserver.yaml || :";
    assert_eq!(count("cp-2", manifest), "0");
    let rotates = "grep -c 'rotateCertificates: true' /var/lib/kubelet/config.yaml";
    assert_eq!(count("w-1", rotates), "1");
    let left = lab.save_plan(INVENTORY, "drift.json");
    assert_eq!(left.ran.code, 0, "what is left:\n{}", left.ran.both());
    lab.on_all(&lab.names(), "! ls -d /run/slipway-look.* 2>/dev/null", "");
}

fn change(lab: &Lab, kube: &Kube) {
    kube.get(&["-n", "kube-system", "delete", "deployment", "coredns"]);
    kube.get(&["delete", "clusterrolebinding", ROTATION]);
    let role = "--clusterrole=system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    let group = "--group=system:bootstrappers:kubeadm:default-node-token";
    kube.get(&["create", "clusterrolebinding", APPROVAL, role, group]);
    // The inventory gives cp-1 taints of its own, in place of this one.
    kube.get(&["taint", "node", "cp-2", &format!("{TAINT}-")]);
    let merge = ["--type", "merge", "--patch"];
    let priority = r#"{"spec":{"groupPriorityMinimum":101}}"#;
    kube.get(
        &[&["patch", "apiservice", "v1beta1.metrics.k8s.io"][..], &merge, &[priority]].concat(),
    );
    kube.get(&["delete", "clusterrolebinding", "system:metrics-server"]);
    let budget = ["-n", "kube-system", "patch", "poddisruptionbudget", "calico-kube-controllers"];
    kube.get(&[&budget[..], &merge, &[r#"{"spec":{"maxUnavailable":2}}"#]].concat());
    let flag = r"sed -i 's/^    - --secure-port=.*/&\n    - --profiling=false/' /etc/kubernetes/manifests/kube-apiserver.yaml";
    lab.on("cp-2", flag);
    let rotation = "sed -i 's/rotateCertificates: true/rotateCertificates: false/' /var/lib/kubelet/config.yaml";
    lab.on("w-1", rotation);
    lab.on("w-2", "rm /etc/cni/net.d/10-calico.conflist");
    // A kubelet tells of its pod network with its next report.
    eventually("w-2 is not Ready", secs(60), || {
        let status = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        match kube.run(&["get", "node", "w-2", "-o", status]).tried()?.as_str() {
            "False" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    // Last. A kubelet says either, by turns.
    lab.on("cp-3", HOLLOW);
    eventually("containers on cp-3 cannot be made", secs(60), || {
        for name in ["kube-scheduler", "kube-controller-manager"] {
            let pod = format!("{name}-cp-3");
            let status = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
            let reason =
                kube.run(&["-n", "kube-system", "get", "pod", &pod, "-o", status]).tried()?;
            if !["CreateContainerError", "CrashLoopBackOff"].contains(&reason.as_str()) {
                return Err(format!("{pod}: {reason}"));
            }
        }
        Ok(())
    });
}

/// Everything that a plan says of a resource: its summary and its difference.
fn told(plan: &Run, change: &Change) -> String {
    let plan = plan.events("plan").last().unwrap();
    let node = |node: &&Value| node["node"] == change.node;
    let steps = plan["nodes"].as_array().unwrap().iter().find(node).map(|node| &node["steps"]);
    let steps = steps.and_then(Value::as_array).into_iter().flatten();
    let resources = steps.flat_map(|step| step["resources"].as_array().unwrap());
    let of = resources.filter(|resource| resource["id"] == change.id);
    of.map(|resource| {
        format!("{}\n{}\n", resource["summary"], resource["diff"].as_str().unwrap_or(""))
    })
    .collect()
}
