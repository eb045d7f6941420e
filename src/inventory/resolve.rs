//! What an inventory means: its values with every default filled in.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::keys::at;
use super::read::{
    address, flag, hosts, internal, json, networks, number, own_or_shared, owned, pairs, path,
    role, ssh_port, text,
};
use super::tree::Node;
use super::{arguments, registration, syntax};
use crate::cluster::{
    API_PORT, Addons, Cluster, Drain, Endpoint, Network, Node as Machine, Role, Ssh, Taint,
};
use crate::kubernetes::kubelet;

/// The cluster that `root`, an inventory without findings in the directory `dir`, means.
pub(super) fn cluster(root: &Node, second: Option<&Node>, dir: &Path) -> Option<Cluster> {
    Some(Cluster {
        name: text(root, at!("metadata.name"))?,
        kubernetes: text(root, at!("spec.kubernetes.version"))?.parse().ok()?,
        endpoint: endpoint(root)?,
        cert_sans: hosts(root, at!("spec.endpoint.certSANs")),
        network: Network {
            pods: networks(root, at!("spec.network.podCidr")),
            services: networks(root, at!("spec.network.serviceCidr")),
            domain: text(root, at!("spec.network.dnsDomain"))?,
        },
        time_servers: hosts(root, at!("spec.time.servers")),
        kubelet: match root.get(at!("spec.kubelet")).map(json) {
            Some(Json::Object(fields)) => kubelet::as_written(fields),
            _ => serde_json::Map::new(),
        },
        proxy_mode: text(root, at!("spec.kubeProxy.mode"))?,
        control_plane: arguments::resolve(root),
        drain: Drain {
            max_unavailable: number(root, at!("spec.drain.maxUnavailable"))?.try_into().ok()?,
            timeout: syntax::interval(&text(root, at!("spec.drain.timeout"))?)?,
            delete_empty_dir_data: flag(root, at!("spec.drain.deleteEmptyDirData"))?,
            force: flag(root, at!("spec.drain.force"))?,
            past: Vec::new(),
        },
        addons: Addons {
            calico: flag(root, at!("spec.addons.calico"))?,
            metrics_server: flag(root, at!("spec.addons.metricsServer"))?,
            hub: flag(root, at!("spec.addons.hub"))?,
        },
        registration: match root.get(at!("spec.registration")) {
            Some(_) => Some(registration::resolve(root, second, dir)?),
            None => None,
        },
        nodes: root
            .items(at!("spec.nodes"))
            .map(|node| machine(root, node, dir))
            .collect::<Option<_>>()?,
        leaving: Vec::new(),
        maintained: Vec::new(),
    })
}

fn machine(root: &Node, node: &Node, dir: &Path) -> Option<Machine> {
    let ssh = |own, shared| owned(own_or_shared((Some(node), own), (root, shared))?.as_ref());
    let identity = ssh(at!("spec.nodes[].ssh.identityFile"), at!("spec.ssh.identityFile"));
    Some(Machine {
        name: text(node, at!("spec.nodes[].name"))?,
        role: role(node)?,
        internal: internal(node)?.0,
        labels: node.get(at!("spec.nodes[].labels")).map_or(Some(BTreeMap::new()), pairs)?,
        taints: match node.get(at!("spec.nodes[].taints")) {
            Some(taints) => Some(taints.list().iter().map(taint).collect::<Option<_>>()?),
            None => None,
        },
        ssh: Ssh {
            host: text(node, at!("spec.nodes[].address"))?.to_lowercase(),
            port: ssh_port(root, node)?,
            user: ssh(at!("spec.nodes[].ssh.user"), at!("spec.ssh.user"))?,
            identity: identity.and_then(|written| path(&written, dir)),
            known_hosts: path(&text(root, at!("spec.ssh.knownHosts"))?, dir)?,
            host_key: text(node, at!("spec.nodes[].ssh.hostKey")),
        },
    })
}

fn endpoint(root: &Node) -> Option<Endpoint> {
    if let Some(vip) = root.get(at!("spec.endpoint.vip")) {
        return Some(Endpoint::Vip {
            address: address(vip)?,
            interface: text(root, at!("spec.endpoint.interface")),
            router_id: number(root, at!("spec.endpoint.routerId"))?.try_into().ok()?,
        });
    }
    if let Some(written) = root.get(at!("spec.endpoint.address")) {
        let (host, port) = syntax::authority(written.text()?)?;
        return Some(Endpoint::External {
            host: host.to_lowercase(),
            port: port.unwrap_or(API_PORT),
        });
    }
    let mut control_planes =
        root.items(at!("spec.nodes")).filter(|node| role(node) == Some(Role::ControlPlane));
    Some(Endpoint::Node(internal(control_planes.next()?)?.0))
}

fn taint(node: &Node) -> Option<Taint> {
    Some(Taint {
        key: text(node, at!("spec.nodes[].taints[].key"))?,
        value: text(node, at!("spec.nodes[].taints[].value"))?,
        effect: text(node, at!("spec.nodes[].taints[].effect"))?,
    })
}
