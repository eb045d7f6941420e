//! The cluster's health: whether every part of it works, else what does not, where and why.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::{Diff, Drift, Resource, STATIC_PODS};
use crate::command::Output;
use crate::diagnostic::Result;
use crate::etcd::{EtcdMember, MemberList};
use crate::probe::Probe;

mod pods;

use pods::Pods;

/// Every node of the inventory is a Ready member; each control plane's static pods, etcd's members,
/// kube-proxy, CoreDNS, every other Deployment and DaemonSet of `kube-system` and every API service
/// are whole. Nothing of it is changed here: it is waited for.
pub struct Healthy {
    /// The nodes' names, without those that do not answer.
    pub nodes: Vec<String>,
    /// Those of them that are control planes, and their addresses.
    pub control_planes: BTreeMap<String, Ipv4Addr>,
    /// Whether the pod network is slipway's. Else what needs one is not asked for.
    pub network: bool,
    /// How long that may take after changes.
    pub within: Duration,
}

fn documents(seen: &Output) -> Vec<Value> {
    let text = seen.text();
    let lines = text.lines().filter(|_| seen.ok());
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The objects of a look at [`Probe::health`].
pub(super) fn objects(seen: &Output) -> Vec<Value> {
    Seen::read(seen).unwrap_or_default().items
}

/// A node, in such a look.
pub(super) fn node(seen: &Output, name: &str) -> Option<Value> {
    objects(seen).into_iter().find(|object| (kind(object), name_of(object)) == ("Node", name))
}

/// As a look prints `objects`.
#[cfg(test)]
pub fn lines(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("{object}\n")).collect()
}

/// What a look at the whole cluster brings.
#[derive(Default)]
struct Seen {
    items: Vec<Value>,
    etcd: Option<MemberList>,
    events: Vec<Value>,
}

impl Seen {
    /// `None` where no API answers.
    fn read(seen: &Output) -> Option<Self> {
        let mut read = Self::default();
        for document in documents(seen) {
            match kind(&document) {
                "" => read.etcd = MemberList::read(&document).or(read.etcd),
                "Event" => read.events.push(document),
                _ => read.items.push(document),
            }
        }
        (!read.items.is_empty()).then_some(read)
    }

    fn of<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a Value> {
        self.items.iter().filter(move |item| kind(item) == wanted)
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

fn name_of(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The condition of that type.
fn condition<'a>(object: &'a Value, wanted: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| text(condition, "/type") == wanted)
}

fn is(object: &Value, wanted: &str) -> bool {
    condition(object, wanted).is_some_and(|condition| text(condition, "/status") == "True")
}

/// `: why`, or nothing.
fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

impl Healthy {
    /// What does not work, where and why; with `events` also the last warnings. `None`: no API answers.
    fn ill(&self, seen: &Output, events: bool) -> Option<Vec<String>> {
        let seen = Seen::read(seen)?;
        let pods = Pods {
            pods: seen.of("Pod").collect(),
            events: if events { seen.events.as_slice() } else { &[] },
        };
        let mut ill = Vec::new();
        if self.network {
            ill.extend(self.nodes.iter().filter_map(|node| not_ready(node, &seen)));
        }
        for node in self.control_planes.keys() {
            let component = |name: &&str| pods.not_ready(&format!("{name}-{node}"));
            ill.extend(STATIC_PODS.iter().filter_map(component));
        }
        ill.extend(self.members(&seen));
        let mut needed = vec![("DaemonSet", "kube-proxy")];
        if self.network {
            needed.push(("Deployment", "coredns"));
        }
        for (wanted, name) in needed {
            if !seen.of(wanted).any(|workload| name_of(workload) == name) {
                ill.push(format!("kube-system/{name} is gone"));
            }
        }
        let gone = self.gone(&seen);
        let workloads = seen.of("Deployment").chain(seen.of("DaemonSet"));
        let workloads = workloads.filter(|one| self.network || name_of(one) == "kube-proxy");
        ill.extend(workloads.filter_map(|workload| pods.not_whole(workload, &gone)));
        let services = seen.of("APIService").filter(|_| self.network);
        for service in services.filter(|service| !is(service, "Available")) {
            let why = condition(service, "Available").map_or("", |c| text(c, "/message"));
            ill.push(format!("API service {} is not available{}", name_of(service), because(why)));
        }
        Some(ill)
    }

    /// Nodes that are silent here and there: what should run on them is not waited for.
    fn gone<'a>(&self, seen: &'a Seen) -> BTreeSet<&'a str> {
        let silent =
            |node: &&Value| !is(node, "Ready") && !self.nodes.iter().any(|n| n == name_of(node));
        seen.of("Node").filter(silent).map(name_of).collect()
    }

    /// etcd has a member that votes on each control plane, and none that never came.
    fn members(&self, seen: &Seen) -> Vec<String> {
        let Some(list) = &seen.etcd else {
            return vec![
                "etcd does not answer on the control plane that acts for the cluster".to_owned(),
            ];
        };
        // Preflight reports one that was taken out of the inventory before it voted.
        let ours = |member: &&EtcdMember| {
            let at = |address: &Ipv4Addr| member.address() == Some(*address);
            self.control_planes.contains_key(&member.name)
                || (member.name.is_empty() && self.control_planes.values().any(at))
        };
        let half = |member: &EtcdMember| match (member.name.as_str(), member.learner) {
            ("", _) => Some(format!("etcd member {} never started", member.peers.join(", "))),
            (name, true) => Some(format!("etcd member {name} does not vote yet")),
            (_, false) => None,
        };
        let mut ill: Vec<String> = list.members.iter().filter(ours).filter_map(half).collect();
        let lacking = self.control_planes.keys().filter(|node| list.named(node).is_none());
        ill.extend(lacking.map(|node| format!("etcd has no member on {node}")));
        ill
    }
}

fn not_ready(node: &str, seen: &Seen) -> Option<String> {
    let object = seen.of("Node").find(|object| name_of(object) == node);
    let Some(object) = object else { return Some(format!("node {node} is not in the cluster")) };
    let ready = condition(object, "Ready");
    let why = ready.map_or("", |ready| text(ready, "/message"));
    (!is(object, "Ready")).then(|| format!("node {node} is not Ready{}", because(why)))
}

impl Resource for Healthy {
    fn id(&self) -> String {
        "cluster health".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::health()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let Some(ill) = self.ill(seen, false) else {
            return Ok(Drift::differs("every node Ready, every workload whole"));
        };
        let Some((first, more)) = ill.split_first() else { return Ok(Drift::None) };
        Ok(Drift::Differs(match more.len() {
            0 => Diff::update(first),
            count => Diff::update(format!("{} problems", count + 1))
                .text(Some(ill.iter().map(|one| format!("- {one}\n")).collect())),
        }))
    }

    fn converge(&self, _seen: &Output) -> Vec<super::Change> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        self.within
    }

    fn explain(&self, seen: &Output) -> Option<String> {
        match self.ill(seen, true) {
            None => Some("the API does not answer".to_owned()),
            Some(ill) => Some(ill.join("\n")),
        }
    }
}

#[cfg(test)]
mod tests;
