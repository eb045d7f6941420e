//! The end: labels and taints, and that everything works.

use std::time::Duration;

use serde_json::json;

use super::{Context, Gate, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{Healthy, Manifest, Resource, Taints, boxed};

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
    // Also a node without labels: those that it no longer has in the inventory go.
    let labels: Vec<String> = context.present().map(labels).collect();
    let mut wanted = vec![boxed(Manifest { name: "node labels", text: labels.join("\n---\n") })];
    for node in context.present() {
        let taints = node.taints.iter().flatten();
        let taints: Vec<_> =
            taints.map(|t| (t.key.clone(), t.value.clone(), t.effect.clone())).collect();
        if !taints.is_empty() {
            wanted.push(boxed(Taints { node: node.name.clone(), taints }));
        }
    }
    if context.cluster.addons.calico {
        let nodes = context.present().map(|node| node.name.clone()).collect();
        wanted.push(boxed(Healthy { nodes, within: Duration::from_secs(600) }));
    }
    Ok(wanted)
}

fn labels(node: &Node) -> String {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": node.labels},
    });
    object.to_string()
}
