//! The nodes that the living cluster lists.

use std::collections::BTreeMap;

use serde_json::Value;

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

/// Those of a `NodeList`.
pub(super) fn listed(list: &Value) -> BTreeMap<String, Listed> {
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let named = |node: &Value| Some((text(node, "/metadata/name")?, Listed::of(node)));
    items.filter_map(named).collect()
}

fn text(object: &Value, path: &str) -> Option<String> {
    let text = object.pointer(path)?.as_str().filter(|text| !text.is_empty())?;
    Some(text.to_owned())
}

/// The objects of an array whose `key` is `value`.
fn with<'a>(
    object: &'a Value,
    array: &str,
    key: &'a str,
    value: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let all = object.pointer(array).and_then(Value::as_array).into_iter().flatten();
    all.filter(move |one| one.get(key).is_some_and(|is| is == value))
}

impl Listed {
    fn of(node: &Value) -> Self {
        let mut ready = with(node, "/status/conditions", "type", "Ready");
        let internal = with(node, "/status/addresses", "type", "InternalIP");
        let labels = |fields: &Value| {
            let labels = fields.pointer("/fieldsV1/f:metadata/f:labels").and_then(Value::as_object);
            labels.is_some_and(|labels| !labels.is_empty())
        };
        Self {
            uid: text(node, "/metadata/uid").unwrap_or_default(),
            version: text(node, "/status/nodeInfo/kubeletVersion").unwrap_or_default(),
            ready: ready.any(|condition| condition.get("status").is_some_and(|is| is == "True")),
            internal: internal.filter_map(|address| text(address, "/address")).collect(),
            // A slash in a key is `~1` (RFC 6901, §3).
            control_plane: node
                .pointer("/metadata/labels/node-role.kubernetes.io~1control-plane")
                .is_some(),
            labelled: with(node, "/metadata/managedFields", "manager", "slipway").any(labels),
            cordoned: text(node, "/metadata/annotations/slipway.dev~1cordoned").is_some(),
        }
    }
}
