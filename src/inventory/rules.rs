//! What no single key can tell: contradictions between keys.
//!
//! Values that are wrong by themselves are left out here, so that one mistake is reported once.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;

use super::source::{Finding, Span};
use super::tree::{Node, Value};
use super::{identity, networks, read, syntax};
use crate::cluster::{API_PORT, Role, unreachable};
use crate::kubernetes::names;

/// Every contradiction in `root`, an inventory in the directory `dir`.
pub(super) fn check(root: &Node, dir: &Path, findings: &mut Vec<Finding>) {
    roles(root, findings);
    endpoint(root, findings);
    names_and_addresses(root, findings);
    networks::check(root, findings);
    for node in root.items("spec.nodes") {
        taints(node, findings);
        findings.extend(node.get("name").and_then(reserved_name));
        labels(node, findings);
    }
    let own = root.items("spec.nodes").filter_map(|node| node.get("ssh.identityFile"));
    for file in root.get("spec.ssh.identityFile").into_iter().chain(own) {
        findings.extend(identity::check(file, dir));
    }
}

fn control_planes(root: &Node) -> Vec<&Node> {
    root.items("spec.nodes").filter(|node| read::role(node) == Some(Role::ControlPlane)).collect()
}

fn name(node: &Node) -> &str {
    node.get("name").and_then(Node::text).unwrap_or("a node without a name")
}

fn roles(root: &Node, findings: &mut Vec<Finding>) {
    let all_known = root.items("spec.nodes").all(|node| read::role(node).is_some());
    if let Some(nodes) = root.get("spec.nodes")
        && all_known
        && control_planes(root).is_empty()
    {
        let label = "at least one node needs `role: control-plane`";
        findings.push(Finding::new("no control plane", &nodes.span, label));
    }
}

/// What is wrong in a new cluster, and may be in one that exists: it cannot be changed there.
pub(super) fn new_cluster(root: &Node) -> Vec<Finding> {
    even_control_planes(root).into_iter().chain(endpoint_of_one(root)).collect()
}

/// One of several control planes as the endpoint of all: when it dies, everything is gone.
fn endpoint_of_one(root: &Node) -> Option<Finding> {
    let written = root.get("spec.endpoint.address")?;
    let (host, port) = syntax::authority(written.text()?)?;
    let host = host.to_lowercase();
    // At another port something else listens, which may well be a load balancer.
    if port.is_some_and(|port| port != API_PORT) || control_planes(root).len() < 2 {
        return None;
    }
    let is = |node: &&Node| {
        let keys = ["name", "address", "internalAddress"].into_iter();
        keys.filter_map(|key| node.get(key)?.text()).any(|text| text.to_lowercase() == host)
    };
    let one = control_planes(root).into_iter().find(is)?;
    let title = format!("the endpoint is the control plane `{}` alone", name(one));
    let finding = Finding::new(title, &written.span, "when it is away, so is the whole API");
    let finding =
        one.get("name").into_iter().fold(finding, |finding, name| finding.mark(&name.span, ""));
    Some(finding.hint(
        "set `vip` to a free address in the control planes' network instead, or `address` to a load \
         balancer",
    ))
}

/// A new cluster's control planes must be odd in number.
fn even_control_planes(root: &Node) -> Option<Finding> {
    let control_planes = control_planes(root);
    let count = control_planes.len();
    let last = control_planes.last()?.get("role")?;
    count.is_multiple_of(2).then(|| {
        Finding::new(
            format!("{count} control planes: a new cluster needs an odd number"),
            &last.span,
            "add one, or make this one a worker",
        )
        .hint(format!(
            "etcd needs a majority: {count} members survive no more failures than {}",
            count - 1
        ))
    })
}

fn endpoint(root: &Node, findings: &mut Vec<Finding>) {
    let Some(endpoint) = root.get("spec.endpoint") else {
        findings.extend(no_endpoint(root));
        return;
    };
    let (vip, address) = (endpoint.get("vip"), endpoint.get("address"));
    findings.extend(not_one_of_both(root, endpoint));
    if vip.is_none() && address.is_some() {
        let wrong = ["interface", "routerId"].into_iter().filter_map(|key| {
            let title = format!("`{key}` goes with `vip` only");
            Some(Finding::new(title, &endpoint.get(key)?.span, ""))
        });
        findings.extend(wrong);
    }
    if let Some(address) = address
        && let Some((host, _)) = address.text().and_then(syntax::authority)
        && let Some(reason) = unreachable(host)
    {
        let title = format!("other machines cannot reach {host}");
        findings.push(Finding::new(title, &address.span, reason));
    }
    if let Some(written) = vip
        && let Some(vip) = read::address(written)
    {
        findings.extend(unusable(vip, &written.span));
        findings.extend(taken(root, vip, &written.span));
    }
}

/// Several control planes need an endpoint.
fn no_endpoint(root: &Node) -> Option<Finding> {
    let control_planes = control_planes(root);
    let [first, .., last] = control_planes.as_slice() else { return None };
    let title = format!("{} control planes need `spec.endpoint`", control_planes.len());
    let finding = Finding::new(title, &last.span, "").mark(&first.span, "");
    let todo = "set `vip` to a free address in their network, or `address` to your load balancer";
    Some(finding.hint(todo))
}

/// An endpoint is a virtual IP or an address.
fn not_one_of_both(root: &Node, endpoint: &Node) -> Option<Finding> {
    match (endpoint.get("vip"), endpoint.get("address")) {
        (Some(vip), Some(address)) => Some(
            Finding::new("`vip` and `address` exclude each other", &address.span, "")
                .mark(&vip.span, "")
                .hint("`vip` is kept by slipway, `address` is a load balancer that you run"),
        ),
        // The only control plane's own address can have more names.
        (None, None) if endpoint.get("certSANs").is_some() && control_planes(root).len() == 1 => {
            None
        }
        (None, None) if matches!(endpoint.value, Value::Map(_)) => {
            Some(Finding::new("`endpoint` needs either `vip` or `address`", &endpoint.span, ""))
        }
        _ => None,
    }
}

/// Nodes that have the virtual IP as their own address.
fn taken(root: &Node, vip: Ipv4Addr, span: &Span) -> Vec<Finding> {
    let same = |node: &Node| {
        let of_node = ["address", "internalAddress"].into_iter().filter_map(|key| node.get(key));
        let same = of_node.into_iter().find(|at| read::address(at) == Some(vip))?;
        let title = format!("the VIP {vip} is the address of `{}`", name(node));
        let finding = Finding::new(title, span, "choose an address that no machine has");
        Some(finding.mark(&same.span, ""))
    };
    root.items("spec.nodes").filter_map(same).collect()
}

/// Says why other machines could not reach `address`.
fn unusable(address: Ipv4Addr, span: &Span) -> Option<Finding> {
    let reason = unreachable(&address.to_string())?;
    Some(Finding::new(format!("other machines cannot reach {address}"), span, reason))
}

fn names_and_addresses(root: &Node, findings: &mut Vec<Finding>) {
    let mut names = Unique::default();
    let mut targets = Unique::default();
    let mut internals = Unique::default();
    for node in root.items("spec.nodes") {
        if let Some(name) = node.get("name") {
            findings.extend(names.add("name", name, name.text().unwrap_or_default()));
        }
        let internal = read::internal(node);
        let mut reported = None;
        if let (Some(address), Some(port)) = (node.get("address"), read::ssh_port(root, node)) {
            let target = format!("{}:{port}", address.text().unwrap_or_default().to_lowercase());
            reported = targets.add("address", address, &target);
            if internal.is_none() && node.get("internalAddress").is_none() && !syntax_fault(address)
            {
                let title = format!("`{}` needs an `internalAddress`", name(node));
                findings.push(Finding::new(title, &address.span, "this is a host name").hint(
                    "`internalAddress` is the IPv4 address that the other nodes reach it at",
                ));
            }
        }
        if let Some((address, written)) = internal {
            findings.extend(unusable(address, &written.span));
            let again = internals.add("address", written, &address.to_string());
            reported = reported.or(again);
        }
        findings.extend(reported);
    }
}

fn syntax_fault(host: &Node) -> bool {
    host.text().is_none_or(|text| (syntax::HOST.fault)(text).is_some())
}

/// Finds what was there before.
#[derive(Default)]
struct Unique(HashMap<String, Span>);

impl Unique {
    fn add(&mut self, what: &str, node: &Node, value: &str) -> Option<Finding> {
        if let Some(first) = self.0.get(value) {
            let title = format!("duplicate {what} `{value}`");
            return Some(Finding::new(title, &node.span, "").mark(first, "first used here"));
        }
        self.0.insert(value.to_owned(), node.span.clone());
        None
    }
}

/// A name that every machine has for itself: whoever asks for the node would reach its own machine.
fn reserved_name(name: &Node) -> Option<Finding> {
    let text = name.text().filter(|text| names::is_localhost(text))?;
    let label = "every machine calls itself so";
    Some(Finding::new(format!("a node cannot be called `{text}`"), &name.span, label))
}

/// Labels that are not a person's to choose.
fn labels(node: &Node, findings: &mut Vec<Finding>) {
    let worker = read::role(node) == Some(Role::Worker);
    for entry in node.get("labels").map(Node::entries).unwrap_or_default() {
        let key = entry.key.as_str();
        if let Some(says) = names::owned_label(key) {
            let title = format!("the kubelet sets the label `{key}` itself");
            findings.push(Finding::new(title, &entry.span, says));
        } else if key == names::CONTROL_PLANE && worker {
            let title = format!("the label `{key}` belongs to control planes");
            let label = "pods that want a control plane would run here";
            findings.push(Finding::new(title, &entry.span, label));
        }
    }
}

fn taints(node: &Node, findings: &mut Vec<Finding>) {
    let mut taints = Unique::default();
    for taint in node.items("taints") {
        let part = |key| taint.get(key).and_then(Node::text);
        if let (Some(key), Some(effect)) = (part("key"), part("effect")) {
            findings.extend(taints.add("taint", taint, &format!("{key}:{effect}")));
        }
        if let Some(key) = taint.get("key")
            && let Some(text) = key.text().filter(|text| names::is_owned_taint(text))
        {
            let title = format!("Kubernetes sets the taint `{text}` itself");
            findings.push(Finding::new(title, &key.span, "by the node's condition"));
        }
    }
}
