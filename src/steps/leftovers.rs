//! Undoes what an unfinished init or join left behind.

use super::{Context, Pace, Step};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Reset, Resource, Undone, boxed};

/// First of all, because `kubeadm reset` deletes what later steps write. What the cluster still
/// lists of such a node goes in `control-plane/init`, on the leader.
pub const STEP: Step = Step {
    name: "leftovers",
    title: "undo an unfinished join",
    after: &[],
    pace: Pace::AtMost(1),
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if !context.survey.must_reset(&node.name) {
        return Ok(Vec::new());
    }
    let what = if context.survey.begun.as_ref() == Some(&node.name) {
        Undone::Init
    } else {
        let half = Some(node).filter(|node| node.role == Role::ControlPlane);
        Undone::Join(half.and_then(|node| context.survey.stale_node(node)).map(str::to_owned))
    };
    Ok(vec![boxed(Reset { node: node.name.clone(), what })])
}
