//! What an inventory means: its values with every default filled in.

use std::path::Path;

use serde_json::Value as Json;

use super::read::{
    address, flag, hosts, internal, json, networks, number, owned, pairs, path, role, ssh,
    ssh_port, text,
};
use super::tree::Node;
use super::{registration, syntax};
use crate::cluster::{
    API_PORT, Addons, Cluster, Endpoint, Network, Node as Machine, Role, Ssh, Taint,
};
use crate::kubernetes::kubelet;

/// The cluster that `root`, an inventory without findings in the directory `dir`, means.
pub(super) fn cluster(root: &Node, second: Option<&Node>, dir: &Path) -> Option<Cluster> {
    Some(Cluster {
        name: text(root, "metadata.name")?.to_owned(),
        kubernetes: text(root, "spec.kubernetes.version")?.parse().ok()?,
        endpoint: endpoint(root)?,
        cert_sans: hosts(root, "spec.endpoint.certSANs"),
        network: Network {
            pods: networks(root, "spec.network.podCidr"),
            services: networks(root, "spec.network.serviceCidr"),
            domain: text(root, "spec.network.dnsDomain")?.to_owned(),
        },
        time_servers: hosts(root, "spec.time.servers"),
        kubelet: match root.get("spec.kubelet").map(json) {
            Some(Json::Object(fields)) => kubelet::as_written(fields),
            _ => serde_json::Map::new(),
        },
        addons: Addons {
            calico: flag(root, "spec.addons.calico")?,
            metrics_server: flag(root, "spec.addons.metricsServer")?,
            hub: flag(root, "spec.addons.hub")?,
        },
        registration: match root.get("spec.registration") {
            Some(node) => Some(registration::resolve(root, node, second, dir)?),
            None => None,
        },
        nodes: root
            .items("spec.nodes")
            .map(|node| machine(root, node, dir))
            .collect::<Option<_>>()?,
    })
}

fn machine(root: &Node, node: &Node, dir: &Path) -> Option<Machine> {
    Some(Machine {
        name: owned(node.get("name")?)?,
        role: role(node)?,
        internal: internal(node)?.0,
        labels: pairs(node, "labels")?,
        taints: match node.get("taints") {
            Some(_) => Some(node.items("taints").map(taint).collect::<Option<_>>()?),
            None => None,
        },
        ssh: Ssh {
            host: node.get("address")?.text()?.to_lowercase(),
            port: ssh_port(root, node)?,
            user: ssh(root, node, "user")?.to_owned(),
            identity: ssh(root, node, "identityFile").and_then(|written| path(written, dir)),
            known_hosts: path(text(root, "spec.ssh.knownHosts")?, dir)?,
            host_key: node.get("ssh.hostKey").and_then(owned),
        },
    })
}

fn endpoint(root: &Node) -> Option<Endpoint> {
    if let Some(vip) = root.get("spec.endpoint.vip") {
        return Some(Endpoint::Vip {
            address: address(vip)?,
            interface: root.get("spec.endpoint.interface").and_then(owned),
            router_id: number(root, "spec.endpoint.routerId")?.try_into().ok()?,
        });
    }
    if let Some(written) = root.get("spec.endpoint.address") {
        let (host, port) = syntax::authority(written.text()?)?;
        return Some(Endpoint::External {
            host: host.to_lowercase(),
            port: port.unwrap_or(API_PORT),
        });
    }
    let mut control_planes =
        root.items("spec.nodes").filter(|node| role(node) == Some(Role::ControlPlane));
    Some(Endpoint::Node(internal(control_planes.next()?)?.0))
}

fn taint(node: &Node) -> Option<Taint> {
    Some(Taint {
        key: owned(node.get("key")?)?,
        value: node.get("value").and_then(owned).unwrap_or_default(),
        effect: owned(node.get("effect")?)?,
    })
}
