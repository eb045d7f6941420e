//! The virtual IP: keepalived puts it on one control plane, haproxy spreads what arrives there.

use serde_json::json;

use super::{Context, Pace, Step, digests};
use crate::cluster::{ALIVE_PORT, API_PORT, Endpoint, Node, Role};
use crate::diagnostic::Result;
use crate::resource::{File, Resource, Unit, boxed};
use crate::template;

/// Before `control-plane/init`: kubeadm's later phases, and every join, use the endpoint.
pub const STEP: Step = Step {
    name: "endpoint",
    title: "the API's virtual IP",
    after: None,
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
    let peers: Vec<_> =
        voters.iter().filter(|(name, _)| **name != node.name).map(|(_, address)| address).collect();
    let carrier = || context.facts(node).interface_of(node.internal).unwrap_or_default().to_owned();
    let keepalived = template::KEEPALIVED.render(&json!({
        "vip": vip,
        "alive_port": ALIVE_PORT,
        "interface": interface.clone().unwrap_or_else(carrier),
        "router_id": router_id,
        "priority": 200 - position,
        "address": node.internal,
        "peers": peers,
    }))?;
    let haproxy = File::text(template::HAPROXY.target(), haproxy);
    let keepalived = File::text(template::KEEPALIVED.target(), keepalived);
    let units = [
        Unit::running("haproxy.service", &[haproxy.digest()]).reloads(),
        Unit::running("keepalived.service", &digests(std::slice::from_ref(&keepalived))).reloads(),
    ];
    let [balancer, holder] = units;
    Ok(vec![boxed(haproxy), boxed(balancer), boxed(keepalived), boxed(holder)])
}
