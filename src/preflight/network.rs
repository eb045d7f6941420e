//! What lies between the nodes, and the endpoint before a cluster is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::finding::{ALL, Check, Finding, JOINING, JOINING_CONTROL_PLANES, Severity};
use super::{carrier, joining, list};
use crate::cluster::{Cluster, Endpoint, Node, Role};
use crate::diagnostic::printable;
use crate::survey::Answer;
use crate::survey::{Membership, Survey};

pub(super) const FILTERED: Check = Check {
    name: "filtered",
    severity: Severity::Error,
    of: JOINING,
    about: "A port of another node does not answer, asked twice for 2 s. That nobody listens there yet is an \
            answer. Asked are 6443 and etcd's 2379 and 2380 of control planes, and 10250 of nodes, \
            by those that will use them; of many workers, each node asks some.",
    todo: "open these ports between the nodes, in their own firewalls and in the network's",
};
pub(super) const MTU: Check = Check {
    name: "mtu",
    severity: Severity::Warning,
    of: "all, unless all are members",
    about: "The nodes' interfaces send packets of different sizes. Calico measures its overlay by \
            each node's own interface, less 50 bytes, so what one sends may not reach the other.",
    todo: "give the interfaces that have the internal addresses the same MTU",
};
pub(super) const PATH_MTU: Check = Check {
    name: "path-mtu",
    severity: Severity::Warning,
    of: JOINING,
    about: "The largest packets that an interface sends do not reach another node, while small ones \
            do (`ping -M do`). Pods would connect, and then hang.",
    todo: "set the interface's MTU to what the path carries",
};
pub(super) const VIRTUAL_IP: Check = Check {
    name: "virtual-ip",
    severity: Severity::Error,
    of: JOINING_CONTROL_PLANES,
    about: "The virtual IP lies in no network of the interface that shall carry it: nobody would \
            ask for it there.",
    todo: "choose a free address of the control planes' network for `spec.endpoint.vip`, or another \
           `spec.endpoint.interface`",
};
pub(super) const VIRTUAL_IP_TAKEN: Check = Check {
    name: "virtual-ip-taken",
    severity: Severity::Error,
    of: JOINING_CONTROL_PLANES,
    about: "A machine that is no node of this cluster answers at the virtual IP.",
    todo: "choose a free address for `spec.endpoint.vip`, or take this one from that machine",
};
pub(super) const ENDPOINT_NAME: Check = Check {
    name: "endpoint-name",
    severity: Severity::Error,
    of: JOINING,
    about: "The external endpoint's name has no IPv4 address on the node.",
    todo: "add the name to DNS, or to the node's /etc/hosts",
};
pub(super) const ENDPOINT: Check = Check {
    name: "endpoint",
    severity: Severity::Warning,
    of: JOINING,
    about: "The external endpoint does not answer; or it refuses, though the cluster lives. Some \
            load balancers are silent until a server is behind them: joins wait for that.",
    todo: "check the load balancer, and what lies between it and the node",
};
pub(super) const ENDPOINT_TAKEN: Check = Check {
    name: "endpoint-taken",
    severity: Severity::Error,
    of: JOINING_CONTROL_PLANES,
    about: "An API server answers at the external endpoint, and no control plane is a member of a \
            cluster yet: it is another cluster's, and nodes would try to join that one.",
    todo: "let the load balancer lead to this cluster's control planes alone",
};

pub(super) const NAME_SERVER: Check = Check {
    name: "name-server",
    severity: Severity::Warning,
    of: ALL,
    about: "The node knows no name server that its pods could ask (addresses of the node itself, \
            127.0.0.1, are none to a pod). Where no control plane knows one, CoreDNS is told to \
            answer for the cluster's own names alone, and to forward again once one is known. Not \
            looked at where `spec.kubelet.resolvConf` is set.",
    todo: "nothing, if pods need no names of outside; else name one in /etc/resolv.conf, and apply",
};

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let mut findings = filtered(cluster, survey);
    findings.extend(mtu(cluster, survey));
    for node in cluster.nodes.iter().filter(|node| is_joining(survey, &node.name)) {
        findings.extend(path_mtu(cluster, survey, node));
        match &cluster.endpoint {
            Endpoint::Vip { address, interface, .. } if node.role == Role::ControlPlane => {
                findings.extend(off_network(survey, node, *address, interface.as_deref()));
                findings.extend(stranger(survey, node, *address));
            }
            Endpoint::External { host, .. } => {
                findings.extend(endpoint(cluster, survey, node, host))
            }
            _ => {}
        }
    }
    findings.extend(name_servers(cluster, survey));
    findings
}

/// Pods of CoreDNS may come to any node, and end at once where they can forward to nobody.
fn name_servers(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let lacks = |node: &&Node| {
        survey.facts(&node.name).is_some_and(crate::survey::Facts::lacks_name_server)
    };
    let seen = |node: &&Node| survey.facts(&node.name).is_some();
    let nobody = cluster.with_role(Role::ControlPlane).filter(seen).all(|node| lacks(&node));
    let what = if nobody {
        "it knows no name server: names outside the cluster have no addresses in pods"
    } else {
        "it knows no name server, though control planes do: CoreDNS cannot run here"
    };
    let lacking = cluster.nodes.iter().filter(lacks);
    let asked = !cluster.kubelet.contains_key("resolvConf");
    lacking.filter(|_| asked).map(|node| NAME_SERVER.on(&node.name, what)).collect()
}

fn is_joining(survey: &Survey, node: &str) -> bool {
    survey.nodes.get(node).is_some_and(joining)
}

/// One finding for each node that does not answer: there the firewall is, most likely.
fn filtered(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let mut silent: BTreeMap<Ipv4Addr, (BTreeSet<u16>, BTreeSet<&str>)> = BTreeMap::new();
    for (name, surveyed) in survey.nodes.iter().filter(|(_, surveyed)| joining(surveyed)) {
        for (address, port) in &surveyed.facts.machine.silent {
            let (ports, from) = silent.entry(*address).or_default();
            ports.insert(*port);
            from.insert(name);
        }
    }
    let finding = |node: &Node| {
        let (ports, from) = silent.get(&node.internal)?;
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let verb = if ports.len() == 1 { "port does not answer" } else { "ports do not answer" };
        let from: Vec<&str> = from.iter().copied().collect();
        let what = format!("its {verb} {}: TCP {}", list(&from), list(&ports));
        Some(FILTERED.on(&node.name, what))
    };
    cluster.nodes.iter().filter_map(finding).collect()
}

/// The size of the largest packet that `node` sends to others, in bytes.
fn own_mtu(survey: &Survey, node: &Node) -> Option<u32> {
    let link = carrier(survey, node)?;
    survey.facts(&node.name)?.machine.link(link).map(|link| link.mtu)
}

fn mtu(cluster: &Cluster, survey: &Survey) -> Option<Finding> {
    let mut sizes: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for node in &cluster.nodes {
        if let Some(size) = own_mtu(survey, node) {
            sizes.entry(size).or_default().push(&node.name);
        }
    }
    let new = cluster.nodes.iter().any(|node| is_joining(survey, &node.name));
    let words = |(size, nodes): (&u32, &Vec<&str>)| format!("{size} on {}", list(nodes));
    let sizes: Vec<String> = sizes.iter().map(words).collect();
    (new && sizes.len() > 1).then(|| MTU.overall(format!("the MTU differs: {}", sizes.join("; "))))
}

fn path_mtu(cluster: &Cluster, survey: &Survey, node: &Node) -> Option<Finding> {
    let lost = &survey.facts(&node.name)?.machine.lost;
    // A peer whose own MTU is smaller is reported by `mtu`.
    let peers = lost.iter().filter_map(|(to, size)| {
        let peer = cluster.nodes.iter().find(|peer| peer.internal == *to)?;
        own_mtu(survey, peer).is_none_or(|own| own >= *size).then_some((peer.name.as_str(), *size))
    });
    let (names, sizes): (Vec<&str>, Vec<u32>) = peers.unzip();
    let size = sizes.into_iter().max()?;
    let what = format!("packets of {size} bytes do not reach {}", list(&names));
    Some(PATH_MTU.on(&node.name, what))
}

fn off_network(
    survey: &Survey,
    node: &Node,
    vip: Ipv4Addr,
    interface: Option<&str>,
) -> Option<Finding> {
    let facts = survey.facts(&node.name)?;
    let name = interface.or_else(|| carrier(survey, node))?;
    let on = facts.addresses.iter().filter(|(link, _)| link == name);
    // As a node holds it, the virtual IP is a network by itself.
    let nets = on.filter_map(|(_, net)| net.parse::<Ipv4Net>().ok()).filter(|n| n.addr() != vip);
    let nets: Vec<Ipv4Net> = nets.collect();
    if nets.iter().any(|net| net.contains(&vip)) {
        return None;
    }
    let nets: Vec<String> = nets.iter().map(|net| net.trunc().to_string()).collect();
    let nets = if nets.is_empty() { "none".to_owned() } else { list(&nets) };
    let name = printable(name);
    let what = format!("{vip} is in no network of its interface {name} (it has {nets})");
    Some(VIRTUAL_IP.on(&node.name, what))
}

fn stranger(survey: &Survey, node: &Node, vip: Ipv4Addr) -> Option<Finding> {
    let holder = survey.facts(&node.name)?.machine.vip.as_ref()?;
    let answers = matches!(holder.answer, Answer::Open | Answer::Refused);
    // A neighbour that is only remembered may be long gone.
    let there = answers || holder.state == "REACHABLE";
    let mut links = survey.nodes.values().flat_map(|one| &one.facts.machine.links);
    if !there || holder.mac.is_empty() || links.any(|link| link.mac == holder.mac) {
        return None;
    }
    let what = format!("{vip} is in use by a machine with the address {}", printable(&holder.mac));
    Some(VIRTUAL_IP_TAKEN.on(&node.name, what))
}

fn endpoint(cluster: &Cluster, survey: &Survey, node: &Node, host: &str) -> Option<Finding> {
    let machine = &survey.facts(&node.name)?.machine;
    let authority = cluster.endpoint.authority();
    let absent = |node: &Node| survey.membership(&node.name) == Some(&Membership::Absent);
    let control_plane = node.role == Role::ControlPlane;
    match machine.endpoint? {
        Answer::Unresolved => {
            Some(ENDPOINT_NAME.on(&node.name, format!("the name {host} has no IPv4 address here")))
        }
        Answer::Silent | Answer::Beyond => {
            Some(ENDPOINT.on(&node.name, format!("{authority} does not answer")))
        }
        Answer::Refused if survey.any_member() => {
            Some(ENDPOINT.on(&node.name, format!("{authority} refuses connections")))
        }
        Answer::Open
            if machine.endpoint_api
                && control_plane
                && cluster.with_role(Role::ControlPlane).all(absent) =>
        {
            let what = format!("an API server answers already at {authority}");
            Some(ENDPOINT_TAKEN.on(&node.name, what))
        }
        _ => None,
    }
}
