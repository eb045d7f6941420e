//! The cluster becomes known to its hub.

use super::{Context, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{Manifest, Resource, boxed};

/// Last of all: what the hub gets to see is a whole cluster.
pub const STEP: Step = Step {
    name: "registration",
    title: "registration with the hub",
    after: &[],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let registration = context.registration.as_ref().filter(|_| context.is_leader(node));
    let Some(registration) = registration else { return Ok(Vec::new()) };
    Ok(vec![
        boxed(Manifest { name: "agent", text: registration.agent.clone() }),
        boxed(registration.with.clone()),
    ])
}
