//! The last step for all: labels and taints, and that everything works.

use std::time::Duration;

use serde_json::json;

use super::{Context, Gate, Pace, Step};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Healthy, Manifest, Recreated, Resource, Taints, boxed};
use crate::survey::TAINTS;

/// Last, after every other node has come to its end.
pub const STEP: Step = Step {
    name: "health",
    title: "labels, taints, cluster health",
    after: &[Gate::Others("certificates")],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if !context.is_leader(node) {
        return Ok(Vec::new());
    }
    let is_recreated = |node: &Node| context.survey.stale_node(node).is_some();
    let mut wanted = Vec::new();
    // Also of a node that has none in the inventory any more: they go.
    let is_labelled =
        |node: &&Node| !node.labels.is_empty() || context.survey.is_labelled(&node.name);
    let labelled: Vec<&Node> = context.present().filter(is_labelled).collect();
    if !labelled.is_empty() {
        let labels: Vec<String> = labelled.iter().copied().map(labels).collect();
        let labels = Manifest { name: "node labels", text: labels.join("\n---\n") };
        wanted.push(in_node_object(labels, labelled.into_iter().any(is_recreated)));
    }
    for node in context.present() {
        // A control plane that joins in this run gets kubeadm's taint by that.
        let joins = node.taints.is_none() && !context.survey.is_member(&node.name);
        let taints = if joins { Vec::new() } else { meant(node) };
        let dropped = dropped(context, node);
        if !taints.is_empty() || !dropped.is_empty() {
            let taints = Taints { node: node.name.clone(), taints, dropped };
            wanted.push(in_node_object(taints, is_recreated(node)));
        }
    }
    // After them: what is written down is what nodes have, or had.
    wanted.push(boxed(Manifest { name: "taints that nodes were given", text: given(context) }));
    let of_control_plane = |node: &&Node| node.role == Role::ControlPlane;
    let control_planes = context.present().filter(of_control_plane);
    wanted.push(boxed(Healthy {
        nodes: context.present().map(|node| node.name.clone()).collect(),
        control_planes: control_planes.map(|node| (node.name.clone(), node.internal)).collect(),
        network: context.cluster.addons.calico,
        within: Duration::from_secs(600),
    }));
    Ok(wanted)
}

/// A stale Node object is deleted earlier in the same run, and its labels and taints with it.
fn in_node_object(resource: impl Resource + 'static, is_recreated: bool) -> Box<dyn Resource> {
    if is_recreated { boxed(Recreated(resource)) } else { boxed(resource) }
}

/// The node's taints: the inventory's, or kubeadm's for its role.
fn meant(node: &Node) -> Vec<(String, String, String)> {
    match (&node.taints, node.role) {
        (Some(taints), _) => {
            taints.iter().map(|t| (t.key.clone(), t.value.clone(), t.effect.clone())).collect()
        }
        (None, Role::ControlPlane) => {
            vec![(CONTROL_PLANE.to_owned(), String::new(), "NoSchedule".to_owned())]
        }
        (None, Role::Worker) => Vec::new(),
    }
}

/// The taints that slipway gave to the node before, and would not any more: `KEY:EFFECT`.
pub(super) fn dropped(context: &Context, node: &Node) -> Vec<String> {
    let names: Vec<String> = meant(node).iter().map(Taints::name).collect();
    let before = context.survey.taints.get(&node.name).into_iter();
    let before = before.flat_map(|before| before.split_whitespace());
    before.filter(|name| !names.iter().any(|meant| meant == name)).map(str::to_owned).collect()
}

/// Which taints nodes have from slipway; of those that did not answer as it was.
fn given(context: &Context) -> String {
    let names = |node: &Node| meant(node).iter().map(Taints::name).collect::<Vec<_>>().join(" ");
    let mut given = context.survey.taints.clone();
    given.extend(context.present().map(|node| (node.name.clone(), names(node))));
    given.retain(|node, names| !names.is_empty() && !context.cluster.leaves(node));
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": TAINTS, "namespace": "kube-system"},
        "data": given,
    });
    object.to_string()
}

/// kubeadm's taint of control planes (its phase `mark-control-plane`).
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

fn labels(node: &Node) -> String {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": node.labels},
    });
    object.to_string()
}
