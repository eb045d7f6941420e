//! Reads values of an inventory, defaults included. A reader gives `None` for a value that is absent or
//! wrong; [`super::schema`] has reported it then.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use saphyr::ScalarOwned;
use serde_json::Value as Json;

use super::keys::{self, Presence};
use super::tree::{Node, Value};
use crate::cluster::Role;

/// The host names and addresses in the list at `path`; DNS takes capital letters for small ones.
pub(super) fn hosts(root: &Node, path: &str) -> Vec<String> {
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

pub(super) fn number(root: &Node, path: &str) -> Option<i64> {
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

pub(super) fn ssh<'a>(root: &'a Node, node: &'a Node, key: &str) -> Option<&'a str> {
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
