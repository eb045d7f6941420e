//! What an inventory means: its values with every default filled in.
//!
//! These readers give `None` for a value that is absent or wrong; [`super::schema`] has reported
//! it then.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use saphyr::ScalarOwned;
use serde_json::Value as Json;

use super::keys::{self, Presence};
use super::tree::{Node, Value};
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

/// The host names and addresses in the list at `path`; DNS takes capital letters for small ones.
fn hosts(root: &Node, path: &str) -> Vec<String> {
    root.items(path).filter_map(|node| Some(node.text()?.to_lowercase())).collect()
}

/// The text at `path` from the file's root: as written, or else its default.
pub(super) fn text<'a>(root: &'a Node, path: &str) -> Option<&'a str> {
    match (root.get(path), keys::find(path)?.presence) {
        (Some(node), _) => node.text(),
        (None, Presence::Default(default)) => Some(default),
        (None, _) => None,
    }
}

/// The truth at `path`.
pub(super) fn flag(root: &Node, path: &str) -> Option<bool> {
    Some(text(root, path)?.to_lowercase() == "true")
}

fn number(root: &Node, path: &str) -> Option<i64> {
    match root.get(path) {
        Some(node) => node.integer(),
        None => text(root, path)?.parse().ok(),
    }
}

pub(super) fn owned(node: &Node) -> Option<String> {
    node.text().map(str::to_owned)
}

/// The mapping of texts at `key`.
pub(super) fn pairs(node: &Node, key: &str) -> Option<BTreeMap<String, String>> {
    let entries = node.get(key).map(Node::entries).unwrap_or_default();
    entries.iter().map(|entry| Some((entry.key.clone(), owned(&entry.value)?))).collect()
}

/// The networks at `path`.
pub(super) fn networks(root: &Node, path: &str) -> Vec<Ipv4Net> {
    match root.get(path) {
        Some(_) => root.items(path).filter_map(|node| node.text()?.parse().ok()).collect(),
        None => text(root, path).and_then(|default| default.parse().ok()).into_iter().collect(),
    }
}

/// The address that is written at `node`.
pub(super) fn address(node: &Node) -> Option<Ipv4Addr> {
    node.text()?.parse().ok()
}

/// The role of a machine.
pub(super) fn role(node: &Node) -> Option<Role> {
    let written = node.get("role")?.text()?;
    [Role::ControlPlane, Role::Worker].into_iter().find(|role| role.name() == written)
}

/// The address that Kubernetes uses for a machine, and where it is written.
pub(super) fn internal(node: &Node) -> Option<(Ipv4Addr, &Node)> {
    let written = node.get("internalAddress").or(node.get("address"))?;
    Some((address(written)?, written))
}

fn ssh<'a>(root: &'a Node, node: &'a Node, key: &str) -> Option<&'a str> {
    match node.get("ssh").and_then(|ssh| ssh.get(key)) {
        Some(own) => own.text(),
        None => text(root, &format!("spec.ssh.{key}")),
    }
}

/// The port that SSH connects to.
pub(super) fn ssh_port(root: &Node, node: &Node) -> Option<u16> {
    let port = match node.get("ssh.port") {
        Some(own) => own.integer(),
        None => number(root, "spec.ssh.port"),
    };
    port?.try_into().ok()
}

/// The file that `written` names: `~/` is the home directory, else relative to `dir`.
pub(super) fn path(written: &str, dir: &Path) -> Option<PathBuf> {
    match written.strip_prefix("~/") {
        Some(rest) => Some(std::env::home_dir()?.join(rest)),
        None => Some(dir.join(written)),
    }
}

fn taint(node: &Node) -> Option<Taint> {
    Some(Taint {
        key: owned(node.get("key")?)?,
        value: node.get("value").and_then(owned).unwrap_or_default(),
        effect: owned(node.get("effect")?)?,
    })
}

pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(ScalarOwned::Null, _) => Json::Null,
        Value::Scalar(ScalarOwned::Boolean(value), _) => Json::from(*value),
        Value::Scalar(ScalarOwned::Integer(value), _) => Json::from(*value),
        Value::Scalar(ScalarOwned::FloatingPoint(value), _) => Json::from(value.into_inner()),
        Value::Scalar(ScalarOwned::String(value), _) => Json::from(value.as_str()),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect()
        }
    }
}
