//! How the cluster is, in the model: its nodes, pods and workloads as the API shows them.

use serde_json::{Value, json};

use super::answers::{Answer, node_object, yes};
use super::machine::{KUBELET_CONF, Machine};
use super::pod::Pod;
use super::world::{NodeObject, Objects, World};
use crate::resource::lines;

const COREDNS: &str = "Deployment/kube-system/coredns";
const KUBE_PROXY: &str = "DaemonSet/kube-system/kube-proxy";

impl World {
    /// What `health.sh` prints.
    pub(super) fn health(&self, machine: &Machine) -> Answer {
        let Some(store) = self.admin(machine) else { return yes(false) };
        let objects = &self.stores[store].objects;
        let node =
            |(name, node): (&String, &NodeObject)| with_kind(node_object(name, node), "Node");
        let mut items: Vec<Value> = objects.nodes.iter().map(node).collect();
        items.extend(self.static_pods(objects));
        items.extend(self.dns_pods(objects));
        items.extend(self.workloads(objects));
        let (_, members) = self.members(machine);
        (0, format!("{}{members}\n", lines(&items)))
    }

    /// Mirror pods, which kubelets that have registered their nodes make.
    fn static_pods(&self, objects: &Objects) -> Vec<Value> {
        let of = |machine: &Machine| -> Vec<Value> {
            let mirrored = Pod::ALL.into_iter().filter(|pod| machine.has(&pod.manifest()));
            let pod = |pod: Pod| {
                let name = format!("{}-{}", pod.name(), machine.node);
                ready(&name, &machine.node, machine.pods.contains(&pod))
            };
            mirrored.map(pod).collect()
        };
        let registered = |machine: &&Machine| objects.nodes.contains_key(&machine.node);
        self.machines.values().filter(registered).flat_map(of).collect()
    }

    /// The nodes on which `image` runs, as far as nodes must have it.
    fn runs_on<'a>(
        &'a self,
        objects: &'a Objects,
        image: &'a str,
    ) -> impl Iterator<Item = &'a String> {
        objects.nodes.keys().filter(move |node| {
            self.of_node(node).is_some_and(|machine| {
                machine.registered
                    && machine.has_image(image)
                    && (image != "coredns" || forwards_well(objects, machine))
            })
        })
    }

    /// Both pods of CoreDNS: on one node, until one of them is moved.
    fn dns_pods(&self, objects: &Objects) -> Vec<Value> {
        let takes = |node: &&String| {
            let node = &objects.nodes[*node];
            node.ready
                && node
                    .taints
                    .iter()
                    .all(|(key, _, effect)| key == super::MARK || effect == "PreferNoSchedule")
        };
        let places: Vec<&String> = self.runs_on(objects, "coredns").filter(takes).collect();
        let (Some(first), Some(last)) = (places.first(), places.last()) else { return Vec::new() };
        let second = if objects.spread { last } else { first };
        let there = objects.made.contains(COREDNS);
        let pods = [("coredns-a", first), ("coredns-b", second)].into_iter().filter(|_| there);
        let dns = |(name, node): (&str, &&String)| {
            let mut pod = ready(name, node, true);
            pod["metadata"]["labels"] = json!({"k8s-app": "kube-dns"});
            pod
        };
        pods.map(dns).collect()
    }

    fn workloads(&self, objects: &Objects) -> Vec<Value> {
        let everywhere = |image: &str| {
            json!({
                "kind": "DaemonSet", "metadata": {"name": image, "namespace": "kube-system"},
                "status": {
                    "desiredNumberScheduled": objects.nodes.len(),
                    "numberReady": self.runs_on(objects, image).count(),
                },
            })
        };
        let somewhere = |image: &str, replicas: u64| {
            let ready = self.runs_on(objects, image).any(|node| objects.nodes[node].ready);
            json!({
                "kind": "Deployment", "metadata": {"name": image, "namespace": "kube-system"},
                "spec": {"replicas": replicas},
                "status": {"readyReplicas": if ready { replicas } else { 0 }},
            })
        };
        let calico = objects.applied.contains_key("DaemonSet/kube-system/calico-node");
        let metrics = objects.applied.contains_key("Deployment/kube-system/metrics-server");
        let mut workloads = Vec::new();
        workloads.extend(objects.made.contains(KUBE_PROXY).then(|| everywhere("kube-proxy")));
        workloads.extend(calico.then(|| everywhere("calico-node")));
        workloads.extend(objects.made.contains(COREDNS).then(|| somewhere("coredns", 2)));
        workloads.extend(calico.then(|| somewhere("calico-kube-controllers", 1)));
        workloads.extend(metrics.then(|| somewhere("metrics-server", 1)));
        workloads
    }

    /// Three answers of CoreDNS, or three times nothing.
    pub(super) fn dns(&self, machine: &Machine) -> Answer {
        if !machine.has(KUBELET_CONF) {
            return (0, "silent\n".to_owned());
        }
        let store = self.endpoint().filter(|_| machine.has_image("kube-proxy"));
        let answers = store.is_some_and(|store| {
            let objects = &self.stores[store].objects;
            let mut places = self.runs_on(objects, "coredns");
            objects.made.contains(COREDNS) && places.any(|node| objects.nodes[node].ready)
        });
        let answer = " 0 90 90 30 133 128 0 1 0 1 0 0 0 0\n";
        (0, if answers { answer } else { "silent\n" }.repeat(3))
    }
}

/// Whether CoreDNS stays up on this machine: it ends where it shall forward to nobody.
fn forwards_well(objects: &Objects, machine: &Machine) -> bool {
    let forwards = |corefile: &String| corefile.lines().any(|line| line.starts_with("forward "));
    machine.name_server || !objects.configs.get("coredns").is_some_and(forwards)
}

fn with_kind(mut object: Value, kind: &str) -> Value {
    object["kind"] = json!(kind);
    object
}

fn ready(name: &str, node: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"nodeName": node},
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    })
}
