//! Reads values of an inventory, defaults included. A reader gives `None` for a value that is absent or
//! wrong; [`super::schema`] has reported it then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use saphyr::ScalarOwned;
use serde_json::Value as Json;

use super::keys::{Key, Presence, at};
use super::tree::{Node, Value};
use crate::cluster::Role;

/// What stands at `key` of `node`, or else its default.
pub(super) fn value<'a>(node: &'a Node, key: &Key) -> Option<Cow<'a, Node>> {
    match (node.get(key), key.presence) {
        (Some(written), _) => Some(Cow::Borrowed(written)),
        (None, Presence::Default(default)) => Node::of(default).map(Cow::Owned),
        (None, _) => None,
    }
}

/// What is written at the key `own` of `node`, or else stands at the key `shared` of `root`.
pub(super) fn own_or_shared<'a>(
    (node, own): (Option<&'a Node>, &Key),
    (root, shared): (&'a Node, &Key),
) -> Option<Cow<'a, Node>> {
    node.and_then(|node| node.get(own)).map(Cow::Borrowed).or_else(|| value(root, shared))
}

pub(super) fn text(node: &Node, key: &Key) -> Option<String> {
    owned(value(node, key)?.as_ref())
}

/// The truth at `key`.
pub(super) fn flag(node: &Node, key: &Key) -> Option<bool> {
    Some(text(node, key)?.to_lowercase() == "true")
}

pub(super) fn number(node: &Node, key: &Key) -> Option<i64> {
    value(node, key)?.integer()
}

/// The texts in the list at `key`.
fn texts(node: &Node, key: &Key) -> Vec<String> {
    value(node, key).iter().flat_map(|list| list.list()).filter_map(owned).collect()
}

/// The host names and addresses in the list at `key`; DNS takes capital letters for small ones.
pub(super) fn hosts(node: &Node, key: &Key) -> Vec<String> {
    texts(node, key).iter().map(|host| host.to_lowercase()).collect()
}

/// The networks at `key`.
pub(super) fn networks(node: &Node, key: &Key) -> Vec<Ipv4Net> {
    texts(node, key).iter().filter_map(|text| text.parse().ok()).collect()
}

pub(super) fn owned(node: &Node) -> Option<String> {
    node.text().map(str::to_owned)
}

/// The texts of a mapping.
pub(super) fn pairs(node: &Node) -> Option<BTreeMap<String, String>> {
    node.entries().iter().map(|entry| Some((entry.key.clone(), owned(&entry.value)?))).collect()
}

/// The address that is written at `node`.
pub(super) fn address(node: &Node) -> Option<Ipv4Addr> {
    node.text()?.parse().ok()
}

/// The role of a machine.
pub(super) fn role(node: &Node) -> Option<Role> {
    let written = node.get(at!("spec.nodes[].role"))?.text()?;
    [Role::ControlPlane, Role::Worker].into_iter().find(|role| role.name() == written)
}

/// The address that Kubernetes uses for a machine, and where it is written.
pub(super) fn internal(node: &Node) -> Option<(Ipv4Addr, &Node)> {
    let written =
        node.get(at!("spec.nodes[].internalAddress")).or(node.get(at!("spec.nodes[].address")))?;
    Some((address(written)?, written))
}

/// The port that SSH connects to.
pub(super) fn ssh_port(root: &Node, node: &Node) -> Option<u16> {
    let own = (Some(node), at!("spec.nodes[].ssh.port"));
    own_or_shared(own, (root, at!("spec.ssh.port")))?.integer()?.try_into().ok()
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
