//! The end: labels and taints, and that everything works.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Context, Gate, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{Healthy, Manifest, Resource, boxed};

/// Last, after every other node has come to its end.
pub const STEP: Step = Step {
    name: "health",
    title: "labels, taints, every node Ready",
    after: Some(Gate::Others("certificates")),
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if !context.is_leader(node) {
        return Ok(Vec::new());
    }
    let mut wanted = Vec::new();
    let marked: Vec<String> = context.cluster.nodes.iter().filter_map(marks).collect();
    if !marked.is_empty() {
        wanted.push(boxed(Manifest { name: "node labels", text: marked.join("\n---\n") }));
    }
    if context.cluster.addons.calico {
        let nodes = context.cluster.nodes.iter().map(|node| node.name.clone()).collect();
        wanted.push(boxed(Healthy { nodes, within: Duration::from_secs(600) }));
    }
    Ok(wanted)
}

/// The part of a Node object that the inventory decides, if any.
fn marks(node: &Node) -> Option<String> {
    if node.labels.is_empty() && node.taints.is_none() {
        return None;
    }
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": node.labels},
    });
    if let (Some(taints), Some(object)) = (&node.taints, object.as_object_mut()) {
        let taints: Vec<Value> = taints
            .iter()
            .map(|t| json!({"key": t.key, "value": t.value, "effect": t.effect}))
            .collect();
        object.insert("spec".to_owned(), json!({ "taints": taints }));
    }
    Some(object.to_string())
}
