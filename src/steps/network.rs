//! The pod network on each node, and the cluster's DNS through it.

use super::{Context, Gate, Pace, Step, health};
use crate::cluster::{Cluster, Node};
use crate::diagnostic::Result;
use crate::resource::{CalicoConfig, ClusterDns, DnsSpread, Recreated, Resource, boxed};

/// After the addons, which bring Calico.
pub const STEP: Step = Step {
    name: "network",
    title: "pod network configuration on each node",
    after: &[],
    pace: Pace::Together,
    desired,
};

/// Once the whole cluster is healthy: asked on each node, since each has its own rules and routes.
pub const DNS: Step = Step {
    name: "dns",
    title: "cluster DNS answers on each node",
    after: &[Gate::Leader("health")],
    pace: Pace::Together,
    desired: dns,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let kept = context.cluster.addons.calico && context.survey.is_member(&node.name);
    Ok(if kept { vec![boxed(CalicoConfig)] } else { Vec::new() })
}

fn dns(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let cluster = &context.cluster;
    // Without slipway's pod network, it is unknown when pods can run.
    if !cluster.addons.calico {
        return Ok(Vec::new());
    }
    let mut wanted = Vec::new();
    if let Some(address) = cluster_dns(cluster) {
        let name = format!("kubernetes.default.svc.{}", cluster.network.domain);
        wanted.push(boxed(ClusterDns { address, name }));
    }
    if context.is_leader(node) && context.present().nth(1).is_some() {
        // Where pods find no name server, CoreDNS runs only if it forwards nothing.
        let lacks = |node: &&Node| context.facts(node).lacks_name_server();
        let some = context.present().any(|node| !lacks(&node));
        let able = context.present().filter(|node| !some || !lacks(node));
        let nodes = able.map(|node| node.name.clone()).collect();
        let spread = DnsSpread { nodes };
        // Without a taint that kept it away, another node can take one.
        let taints_leave = context.present().any(|node| !health::dropped(context, node).is_empty());
        wanted.push(if taints_leave { boxed(Recreated(spread)) } else { boxed(spread) });
    }
    Ok(wanted)
}

/// kubeadm gives it the tenth address of the services' first network (`GetDNSIP`).
fn cluster_dns(cluster: &Cluster) -> Option<std::net::Ipv4Addr> {
    cluster.network.services.first()?.hosts().nth(9)
}
