//! The virtual IP: keepalived puts it on one control plane, haproxy spreads what arrives there.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{Context, Pace, Step};
use crate::cluster::{ALIVE_PORT, API_PORT, Endpoint, Node, Role};
use crate::diagnostic::Result;
use crate::resource::{File, Resource, Unit, VrrpFilter, boxed};
use crate::template;

/// Before `control-plane/init`: kubeadm's later phases, and every join, use the endpoint.
pub const STEP: Step = Step {
    name: "endpoint",
    title: "the API's virtual IP",
    after: &[],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let Endpoint::Vip { address: vip, interface, router_id } = &context.cluster.endpoint else {
        return Ok(Vec::new());
    };
    if node.role != Role::ControlPlane {
        return Ok(Vec::new());
    }
    let voters = context.voters();
    let servers: Vec<_> =
        voters.iter().map(|(name, address)| json!({"name": name, "address": address})).collect();
    let haproxy = template::HAPROXY.render(&json!({
        "vip": vip, "port": API_PORT, "alive_port": ALIVE_PORT, "servers": servers,
    }))?;
    let position = voters.keys().position(|name| *name == node.name).unwrap_or(0);
    let peers = || voters.iter().filter(|(name, _)| **name != node.name);
    let carrier = context.facts(node).interface_of(node.internal).unwrap_or_default();
    let interface = interface.as_deref().unwrap_or(carrier);
    let speakers: Vec<_> =
        peers().map(|(name, address)| speaker(context, node, name, *address)).collect();
    let rules = template::VRRP_RULES.render(&json!({
        "router_id": router_id, "interface": interface, "peers": speakers,
    }))?;
    let unit = template::VRRP_UNIT.render(&json!({}))?;
    let filter = VrrpFilter::new(&rules, &unit);
    let keepalived = template::KEEPALIVED.render(&json!({
        "vip": vip,
        "alive_port": ALIVE_PORT,
        "interface": interface,
        "router_id": router_id,
        "priority": 200 - position,
        "address": node.internal,
        "peers": peers().map(|(_, address)| address).collect::<Vec<_>>(),
    }))?;
    let haproxy = File::text(template::HAPROXY.target(), haproxy);
    let keepalived = File::text(template::KEEPALIVED.target(), keepalived);
    let units = [
        Unit::running("haproxy.service", std::slice::from_ref(&haproxy)).reloads(),
        Unit::running("keepalived.service", std::slice::from_ref(&keepalived)).reloads(),
    ];
    let [balancer, holder] = units;
    Ok(vec![
        boxed(haproxy),
        boxed(balancer),
        // Before keepalived runs.
        boxed(File::text(template::VRRP_RULES.target(), rules)),
        boxed(File::text(template::VRRP_UNIT.target(), unit)),
        boxed(filter),
        boxed(keepalived),
        boxed(holder),
    ])
}

/// How `node` knows an advertisement of `peer`: by its address; on the same network also by its interface,
/// and since no router lies between them, which would have lowered the TTL (RFC 5798, §5.1.1.3). A member
/// that is not in the inventory cannot be asked for its MAC address: the one that is known stays.
fn speaker(context: &Context, node: &Node, peer: &str, address: Ipv4Addr) -> Value {
    let own = context.facts(node).addresses.iter().filter_map(|(_, net)| net.parse().ok());
    let on_link =
        own.into_iter().any(|net: Ipv4Net| net.addr() == node.internal && net.contains(&address));
    let mac = context.cluster.node(peer).and_then(|peer| {
        let facts = context.facts(peer);
        facts.machine.link(facts.interface_of(address)?).map(|link| link.mac.as_str())
    });
    let known = || context.facts(node).vrrp.get(&address).map(String::as_str);
    let mac = mac.or_else(known).filter(|mac| is_mac(mac)).unwrap_or_default();
    json!({"address": address, "on_link": on_link, "mac": mac})
}

/// Whether a node's word is a link-layer address of Ethernet, and not of all of its kind.
fn is_mac(text: &str) -> bool {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(pair) && text != "00:00:00:00:00:00"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_prints_for_a_mac_is_believed_only_if_it_is_one() {
        assert!(is_mac("52:54:00:aa:bb:01"));
        for text in
            ["", "00:00:00:00:00:00", "52:54:00:aa:bb", "52:54:00:aa:bb:01 accept #", "a:b:c:d:e:f"]
        {
            assert!(!is_mac(text), "{text}");
        }
    }
}
