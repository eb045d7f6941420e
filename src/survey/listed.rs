//! The nodes that the living cluster lists.

use std::collections::BTreeMap;

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
    /// Whether it has labels that slipway gave it.
    pub labelled: bool,
    /// Whether slipway keeps pods away from it.
    pub cordoned: bool,
}

/// Lines of `name UID version Ready addresses fields cordoned` with tabs between: the fields those that slipway
/// applied, the last one its annotation. The names of those that are marked as control planes follow, each after
/// a slash.
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
                let labelled = next().contains(r#""f:labels":{"f:"#);
                let cordoned = !next().is_empty();
                let control_plane = false;
                let node =
                    Listed { uid, version, ready, internal, control_plane, labelled, cordoned };
                nodes.insert(name, node);
            }
        }
    }
    nodes.retain(|name, _| !name.is_empty());
    nodes
}
