//! The end of the run's bootstrap token.

use super::{Context, Gate, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{NoTokens, Resource, boxed};

/// As soon as no node joins any more, whether all did or some failed: before the wait for health.
pub const STEP: Step = Step {
    name: "tokens",
    title: "remove bootstrap tokens",
    after: &[Gate::Ended("certificates")],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if !context.is_leader(node) {
        return Ok(Vec::new());
    }
    let makes_one = context.is_new() || !context.joining().is_empty();
    Ok(vec![boxed(NoTokens { makes_one })])
}
