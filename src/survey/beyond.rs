//! Members that the inventory does not have. A person may have deleted a line; the machine lives on, and
//! slipway keeps its place in the other nodes' files.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Surveyed;
use super::listed::Listed;
use super::membership::{Membership, Otherwise};
use crate::cluster::{Cluster, Role};
use crate::etcd::EtcdMember;

/// A member of the living cluster that the inventory does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beyond {
    /// Its name, a DNS subdomain.
    pub name: String,
    /// Its part: who votes in etcd is a control plane.
    pub role: Role,
    /// The address at which the cluster knows it: etcd's for a control plane, since a Node object says
    /// what its kubelet wants.
    pub internal: Ipv4Addr,
}

/// Those members, by name.
pub(super) fn members(
    cluster: &Cluster,
    nodes: &BTreeMap<String, Surveyed>,
    listed: &BTreeMap<String, Listed>,
    etcd: &[EtcdMember],
) -> Vec<Beyond> {
    // A machine of the inventory that has another name in the cluster has a finding of its own.
    let renamed = |name: &str| {
        nodes.values().any(|node| {
            matches!(&node.membership, Membership::Otherwise(Otherwise::Name(is)) if is == name)
        })
    };
    let ours = |name: &str| {
        cluster.node(name).is_some() || cluster.leaves(name) || renamed(name) || !is_name(name)
    };
    let mut members = BTreeMap::new();
    for (name, node) in listed.iter().filter(|(name, _)| !ours(name)) {
        let address = node.internal.iter().find_map(|address| address.parse().ok());
        if let Some(internal) = address.filter(|_| !node.control_plane) {
            members
                .insert(name.clone(), Beyond { name: name.clone(), role: Role::Worker, internal });
        }
    }
    for member in etcd.iter().filter(|member| member.votes() && !ours(&member.name)) {
        if let Some(internal) = member.address() {
            let name = member.name.clone();
            members.insert(name.clone(), Beyond { name, role: Role::ControlPlane, internal });
        }
    }
    members.into_values().collect()
}

/// Whether `name` is a DNS subdomain (RFC 1123), as names of Node objects are: it goes into files.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
