//! The rules for the networks of pods and services: their sizes, and what they must not hold.

use ipnet::Ipv4Net;

use super::source::{Finding, Span};
use super::tree::Node;
use super::{read, syntax};

/// Calico gives every node blocks of this length.
const BLOCK: u8 = 26;

/// A network, and where it is written unless it is the default.
struct Range {
    what: &'static str,
    net: Ipv4Net,
    span: Option<Span>,
}

/// Every fault of the networks in `root`.
pub(super) fn check(root: &Node, findings: &mut Vec<Finding>) {
    // kubeadm's limits: a pod network holds a /24, and at most 2^16 of them; services fit into 20
    // bits, and the DNS server takes the tenth address.
    let pods = network(root, "pod", "spec.network.podCidr", 8..=24, findings);
    let services = network(root, "service", "spec.network.serviceCidr", 12..=28, findings);
    if let Some(Range { net, span: Some(span), .. }) = &pods {
        let nodes = root.items("spec.nodes").count();
        if net.prefix_len() <= 24 && nodes > 1 << (BLOCK - net.prefix_len()) {
            let title = format!("the pod network {net} is too small for {nodes} nodes");
            findings.push(Finding::new(title, span, format!("every node needs a /{BLOCK}")));
        }
    }
    if let (Some(pods), Some(services)) = (&pods, &services)
        && (pods.net.contains(&services.net) || services.net.contains(&pods.net))
    {
        let title =
            format!("pod network {} and service network {} overlap", pods.net, services.net);
        let mut spans = [services, pods].into_iter().filter_map(|range| range.span.as_ref());
        if let Some(first) = spans.next() {
            let finding = Finding::new(title, first, "");
            findings.push(spans.fold(finding, |finding, span| finding.mark(span, "")));
        }
    }
    for range in [&pods, &services].into_iter().flatten() {
        findings.extend(held(root, range));
    }
}

/// The addresses of nodes and endpoint that lie in `range`.
fn held(root: &Node, range: &Range) -> Option<Finding> {
    let endpoint = ["spec.endpoint.vip", "spec.endpoint.address", "spec.registration.hub.endpoint"]
        .into_iter()
        .filter_map(|path| {
            let written = root.get(path)?;
            let (host, _) = syntax::authority(written.text()?)?;
            Some((host.parse().ok()?, written))
        });
    let all = endpoint.chain(root.items("spec.nodes").filter_map(read::internal));
    let mut held = all.filter(|(address, _)| range.net.contains(address));
    let (address, written) = held.next()?;
    let title = format!("the {} network {} holds {address}", range.what, range.net);
    let label = "nodes, endpoint and hub must lie outside";
    let finding = Finding::new(title, &written.span, label);
    let finding = held.fold(finding, |finding, (_, written)| finding.mark(&written.span, ""));
    Some(match &range.span {
        Some(span) => finding.mark(span, ""),
        None => finding.hint("this network is the default; `spec.network` changes it"),
    })
}

fn network(
    root: &Node,
    what: &'static str,
    path: &str,
    lengths: std::ops::RangeInclusive<u8>,
    findings: &mut Vec<Finding>,
) -> Option<Range> {
    let mut nets = read::networks(root, path).into_iter();
    let (net, None) = (nets.next()?, nets.next()) else { return None };
    if net.trunc() != net {
        return None;
    }
    let span = root.items(path).next().map(|node| node.span.clone());
    if let Some(span) = &span
        && !lengths.contains(&net.prefix_len())
    {
        let size = if net.prefix_len() < *lengths.start() { "large" } else { "small" };
        let label = format!("expected a length from /{} to /{}", lengths.start(), lengths.end());
        findings.push(Finding::new(format!("the {what} network {net} is too {size}"), span, label));
    }
    Some(Range { what, net, span })
}
