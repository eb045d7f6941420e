//! Whom the living cluster lists: Node objects, and members of etcd.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::cluster::Node;

/// A Node object, as the API lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its UID.
    pub uid: String,
    /// Its kubelet's version, `v1.37.2`.
    pub version: String,
    /// Whether it is Ready: its kubelet renewed its lease within the last 40 s, and may run pods.
    pub ready: bool,
    /// Its internal addresses.
    pub internal: Vec<String>,
    /// Whether it has the label of a control plane, which kubeadm sets at the end of a join.
    pub control_plane: bool,
}

/// A member as etcd lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its name, a control plane's; empty until it has started.
    pub name: String,
    /// Where other members reach it: `https://10.0.0.5:2380`.
    pub peers: Vec<String>,
    /// Whether it only learns, and does not vote.
    pub learner: bool,
}

impl EtcdMember {
    /// Whether it votes, and has ever started.
    #[must_use]
    pub fn votes(&self) -> bool {
        !self.learner && !self.name.is_empty()
    }

    /// The address at which other members reach it, if it has just one, of IPv4.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        let [url] = self.peers.as_slice() else { return None };
        url.strip_prefix("https://")?.strip_suffix(":2380")?.parse().ok()
    }

    /// Whether it is provably that node's: it has the node's address, and its name or, before its
    /// first start, none.
    #[must_use]
    pub fn is_of(&self, node: &Node) -> bool {
        (self.name == node.name || self.name.is_empty()) && self.address() == Some(node.internal)
    }

    fn read(member: &serde_json::Value) -> Option<Self> {
        let text = |key: &str| member.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        // Numbers where `--hex` left them so; what is left out is empty.
        let id = member.get("ID")?;
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let hexadecimal = id.len() <= 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let urls = member.get("peerURLs").and_then(|urls| urls.as_array());
        Some(Self {
            id: hexadecimal.then_some(id)?,
            name: text("name").unwrap_or_default(),
            peers: urls?.iter().filter_map(|url| url.as_str().map(str::to_owned)).collect(),
            learner: member.get("isLearner").and_then(serde_json::Value::as_bool) == Some(true),
        })
    }
}

/// The members in `etcdctl member list -w json --hex`, and the id of the one that answered.
pub(super) fn members(json: &[u8]) -> Option<(Vec<EtcdMember>, Option<String>)> {
    let list: serde_json::Value = serde_json::from_slice(json).ok()?;
    let own = list.pointer("/header/member_id").and_then(|id| id.as_str()).map(str::to_owned);
    let members = list.get("members")?.as_array()?;
    Some((members.iter().filter_map(EtcdMember::read).collect(), own))
}

/// Lines of `name UID version Ready addresses` with tabs between; the names of those that are marked
/// as control planes follow, each after a slash.
pub(super) fn listed(text: &str) -> BTreeMap<String, Listed> {
    let mut nodes = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        match (next(), next()) {
            (mark, name) if mark == "/" => {
                nodes.entry(name).and_modify(|node: &mut Listed| node.control_plane = true);
            }
            (name, uid) => {
                let version = next();
                let ready = next() == "True";
                let internal = next().split_whitespace().map(str::to_owned).collect();
                let node = Listed { uid, version, ready, internal, control_plane: false };
                nodes.insert(name, node);
            }
        }
    }
    nodes.retain(|name, _| !name.is_empty());
    nodes
}
