//! The cluster's DNS: that it answers on each node, and that it survives the loss of one node.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::{Change, Drift, Resource, health};
use crate::command::{Cmd, Output, kubectl};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// CoreDNS answers at its Service's address on this node: kube-proxy's rules are there, and the pod
/// network reaches the node where CoreDNS runs.
pub struct ClusterDns {
    /// The Service's address.
    pub address: Ipv4Addr,
    /// A name that every cluster has: `kubernetes.default.svc` and the cluster's domain.
    pub name: String,
}

impl ClusterDns {
    /// A query for the name's addresses as RFC 1035 §4 writes it, with its length in front (§4.2.2:
    /// over TCP), as a text for `printf`.
    fn query(&self) -> String {
        let labels = self.name.split('.').filter(|label| !label.is_empty());
        // Identification, "recursion desired", one question.
        let mut query = vec![0x5a, 0x1e, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            query.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            query.extend(label.bytes());
        }
        // The root; type A, class IN.
        query.extend([0, 0, 1, 0, 1]);
        let length = u16::try_from(query.len()).unwrap_or(u16::MAX).to_be_bytes();
        length.iter().chain(&query).map(|byte| format!("\\x{byte:02x}")).collect()
    }
}

/// What an answer says: its first fourteen bytes are its length and its head.
fn answered(line: &str) -> Result<(), String> {
    let bytes: Vec<u8> = line.split_whitespace().filter_map(|byte| byte.parse().ok()).collect();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    match (bytes.len(), byte(5) & 0x0f, byte(8) | byte(9)) {
        (14, 0, 1..) => Ok(()),
        (14, 0, 0) => Err("it knows no address".to_owned()),
        (14, code, _) => Err(format!("it says error {code}")),
        _ => Err("no answer within 2 s".to_owned()),
    }
}

impl ClusterDns {
    /// What is amiss; nothing where it cannot be asked (a node without bash).
    fn amiss(&self, seen: &Output) -> Option<String> {
        let text = seen.text();
        let asked: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let failed: Vec<String> = asked.iter().filter_map(|line| answered(line).err()).collect();
        let first = failed.first()?;
        let (address, count, of) = (self.address, failed.len(), asked.len());
        Some(format!("{count} of {of} queries to {address} for {} failed: {first}", self.name))
    }
}

impl Resource for ClusterDns {
    fn id(&self) -> String {
        "cluster DNS".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::dns(&self.address.to_string(), &self.query())
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(self.amiss(seen).is_none(), "answers on this node"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        // kube-proxy learns of a new pod within a second; a busy machine takes longer.
        Duration::from_secs(60)
    }

    fn explain(&self, seen: &Output) -> Option<String> {
        let why = self.amiss(seen).unwrap_or_default();
        Some(format!(
            "{why}; packets between this node and CoreDNS' pods are lost (a firewall that forwards \
             nothing or drops UDP port 4789, a network that lets only nodes' own addresses through), or \
             kube-proxy's rules are not there"
        ))
    }
}

/// CoreDNS runs on more than one node, where more than one can take it: Kubernetes does not move a
/// pod that runs, and both start where the pod network comes up first.
pub struct DnsSpread {
    /// The nodes that CoreDNS can run on: one that has yet to join may take a pod as well.
    pub nodes: Vec<String>,
}

/// Deletes the pod `$1`; its Deployment makes another, which keeps away from the one that is left
/// (kubeadm's anti-affinity).
const MOVE: &str = concat!(
    r#"[ -n "$1" ] || exit 0
k='"#,
    kubectl!(),
    r#" --namespace kube-system'
$k delete pod "$1" --ignore-not-found --wait=false && $k rollout status deployment/coredns --timeout=120s"#
);

/// What there is to know of where CoreDNS runs.
struct Places {
    replicas: u64,
    /// Names and nodes of the pods that are ready.
    pods: Vec<(String, String)>,
    /// Nodes that are Ready, and whether each takes one.
    nodes: Vec<(String, bool)>,
}

impl Places {
    /// `None` where there is no CoreDNS yet.
    fn read(seen: &Output) -> Option<Self> {
        let items = health::objects(seen);
        let of = |kind: &'static str| items.iter().filter(move |item| text(item, "/kind") == kind);
        let name = |object: &Value| text(object, "/metadata/name").to_owned();
        let deployment = of("Deployment").find(|object| name(object) == "coredns")?;
        let dns = |pod: &&Value| text(pod, "/metadata/labels/k8s-app") == "kube-dns" && ready(pod);
        let pods =
            of("Pod").filter(dns).map(|pod| (name(pod), text(pod, "/spec/nodeName").to_owned()));
        let nodes = of("Node").filter(|node| ready(node)).map(|node| (name(node), takes_dns(node)));
        let replicas = deployment.pointer("/spec/replicas")?.as_u64()?;
        Some(Self { replicas, pods: pods.collect(), nodes: nodes.collect() })
    }

    fn takers(&self, able: &[String]) -> usize {
        self.nodes.iter().filter(|(name, takes)| *takes && able.contains(name)).count()
    }

    fn on_one(&self) -> bool {
        self.pods.iter().map(|(_, node)| node).collect::<BTreeSet<_>>().len() < 2
    }

    /// The pod that should run elsewhere, if all of several run on one node and another takes one.
    fn crowded(&self, able: &[String]) -> Option<&str> {
        let crowded = self.pods.len() > 1 && self.on_one() && self.takers(able) > 1;
        self.pods.iter().map(|(pod, _)| pod.as_str()).max().filter(|_| crowded)
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn ready(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
    })
}

/// Whether a node has no taint that keeps CoreDNS away: kubeadm lets it run on control planes.
fn takes_dns(node: &Value) -> bool {
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    taints.into_iter().flatten().all(|taint| {
        text(taint, "/key") == "node-role.kubernetes.io/control-plane"
            || text(taint, "/effect") == "PreferNoSchedule"
    })
}

impl Resource for DnsSpread {
    fn id(&self) -> String {
        "CoreDNS on more than one node".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::health()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        // Until all nodes are there, and enough pods, nobody knows where they will be.
        let spread = Places::read(seen).is_some_and(|places| {
            let there = |node: &String| places.nodes.iter().any(|(name, _)| name == node);
            let alone = self.nodes.iter().all(there) && places.takers(&self.nodes) < 2;
            places.replicas < 2 || !places.on_one() || alone
        });
        Ok(Drift::unless(spread, "move one, if all run on one node"))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let places = Places::read(seen);
        let pod =
            places.as_ref().and_then(|places| places.crowded(&self.nodes)).unwrap_or_default();
        let cmd = Cmd::shell(MOVE).arg(pod).within(Duration::from_secs(180));
        vec![Change::new("move a pod of CoreDNS to another node", cmd).repeatable()]
    }

    // Where no other node has room for it, it stays.
    fn best_effort(&self, _seen: &Output) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(text: &str) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    fn dns() -> ClusterDns {
        let name = "kubernetes.default.svc.cluster.local".to_owned();
        ClusterDns { address: Ipv4Addr::new(10, 96, 0, 10), name }
    }

    #[test]
    fn a_query_is_as_rfc_1035_writes_it() {
        let dns = ClusterDns { name: "a.bc".to_owned(), ..dns() };
        assert_eq!(
            dns.query(),
            r"\x00\x16\x5a\x1e\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x61\x02\x62\x63\x00\x00\x01\x00\x01"
        );
    }

    #[test]
    fn answers_are_read_from_their_head() {
        let good = " 0 90 90 30 133 128 0 1 0 1 0 0 0 0\n";
        assert_eq!(dns().compare(&seen(&good.repeat(3))).unwrap(), Drift::None);
        // No bash, nothing asked.
        assert_eq!(dns().compare(&seen("")).unwrap(), Drift::None);
        for (bad, why) in [
            (" 0 90 90 30 133 131 0 1 0 0 0 0 0 0", "it says error 3"),
            (" 0 90 90 30 133 128 0 1 0 0 0 0 0 0", "it knows no address"),
            ("silent", "no answer within 2 s"),
            (" 0 90 90 30", "no answer within 2 s"),
        ] {
            let seen = seen(&format!("{good}{bad}\n{good}"));
            assert_ne!(dns().compare(&seen).unwrap(), Drift::None);
            let told = dns().explain(&seen).unwrap();
            assert!(told.starts_with("1 of 3 queries to 10.96.0.10"), "{told}");
            assert!(told.contains(why), "{told}");
        }
    }

    fn pod(name: &str, node: &str) -> Value {
        let conditions = json!([{"type": "Ready", "status": "True"}]);
        json!({
            "kind": "Pod", "metadata": {"name": name, "labels": {"k8s-app": "kube-dns"}}, "spec": {"nodeName": node},
            "status": {"conditions": conditions},
        })
    }

    fn node(name: &str, taint: Option<&str>) -> Value {
        let taints: Vec<Value> =
            taint.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect();
        json!({
            "kind": "Node", "metadata": {"name": name}, "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        })
    }

    /// Whether a plan shows it, and which pod goes; `""`: none.
    fn moved(items: &[Value], replicas: u64) -> (bool, String) {
        let deployment = json!({
            "kind": "Deployment", "metadata": {"name": "coredns"}, "spec": {"replicas": replicas},
        });
        let items = [items, &[deployment]].concat();
        let seen = seen(&health::lines(&items));
        let spread = DnsSpread { nodes: vec!["cp-1".to_owned(), "x-1".to_owned()] };
        let changes = spread.converge(&seen);
        let pod = changes[0].cmd.words().last().unwrap().clone();
        (spread.compare(&seen).unwrap() != Drift::None, pod)
    }

    #[test]
    fn both_on_one_node_is_too_many_if_another_can_take_one() {
        let control_plane = Some("node-role.kubernetes.io/control-plane");
        let cp = || node("cp-1", control_plane);
        let both = || vec![pod("a", "cp-1"), pod("b", "cp-1"), cp()];
        let with = |more: Vec<Value>| moved(&[both(), more].concat(), 2);
        let goes = |pod: &str| (true, pod.to_owned());
        let stays = (false, String::new());
        assert_eq!(with(vec![node("x-1", None)]), goes("b"));
        assert_eq!(with(vec![node("x-1", control_plane)]), goes("b"));
        assert_eq!(with(vec![node("x-1", Some("example.com/gpu"))]), stays);
        assert_eq!(with(vec![node("x-1", None), pod("c", "x-1")]), stays);
        // Somebody wants one alone.
        assert_eq!(moved(&[pod("a", "cp-1"), cp(), node("x-1", None)], 1), stays);
    }

    #[test]
    fn a_plan_announces_what_nobody_knows_yet() {
        let unknown = (true, String::new());
        // Another node has yet to join, or the second pod to start.
        assert_eq!(moved(&[pod("a", "cp-1"), pod("b", "cp-1"), node("cp-1", None)], 2), unknown);
        let nodes = [node("cp-1", None), node("x-1", None)];
        assert_eq!(moved(&[&[pod("a", "cp-1")], nodes.as_slice()].concat(), 2), unknown);
        let before = Output { code: 1, ..Output::default() };
        let spread = DnsSpread { nodes: Vec::new() };
        assert_ne!(spread.compare(&before).unwrap(), Drift::None);
    }
}
