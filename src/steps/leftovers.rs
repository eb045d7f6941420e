//! Undoes what an unfinished init or join left behind.

use super::{Context, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{Reset, Resource, boxed};
use crate::survey::Membership;

/// First of all, because `kubeadm reset` deletes what later steps write.
pub const STEP: Step = Step {
    name: "leftovers",
    title: "undo an unfinished join",
    after: None,
    pace: Pace::OneByOne,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let partial = matches!(context.survey.membership(&node.name), Some(Membership::Partial(_)));
    Ok(if partial { vec![boxed(Reset)] } else { Vec::new() })
}
