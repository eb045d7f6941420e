//! What is done to nodes at a person's word, so that somebody can work at their machines: `slipway node cordon`,
//! `drain` and `uncordon`. Steps of runs of their own; the control plane that acts for the cluster does them.

use super::{Context, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{Cordon, Drained, Evictions, Resource, boxed};

/// What a person cordons stays so until a person takes it back: no upgrade does.
pub const CORDON: Step = Step {
    name: "maintenance/cordon",
    title: "nodes that take no new pods",
    after: &[],
    pace: Pace::Together,
    desired: |context, node| Ok(cordons(context, node, true)),
};

/// Takes a person's cordon back, and slipway's own.
pub const UNCORDON: Step = Step {
    name: "maintenance/uncordon",
    title: "nodes that take pods again",
    after: &[],
    pace: Pace::Together,
    desired: |context, node| Ok(cordons(context, node, false)),
};

/// After [`CORDON`]: a drain leaves alone what is cordoned, also where it does not come to its end.
pub const DRAIN: Step = Step {
    name: "maintenance/drain",
    title: "pods of nodes that are drained",
    after: &[],
    pace: Pace::Together,
    desired: drain,
};

/// The nodes, on the leader.
fn maintained<'a>(context: &'a Context, node: &Node) -> &'a [String] {
    if context.is_leader(node) { &context.cluster.maintained } else { &[] }
}

fn cordons(context: &Context, node: &Node, cordoned: bool) -> Vec<Box<dyn Resource>> {
    let names = maintained(context, node).iter();
    names.map(|name| boxed(Cordon { node: name.clone(), cordoned })).collect()
}

fn drain(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let (nodes, drain) = (maintained(context, node), &context.cluster.drain);
    let mut wanted: Vec<Box<dyn Resource>> = Vec::new();
    if !nodes.is_empty() {
        wanted.push(boxed(Evictions { nodes: nodes.to_vec(), drain: drain.clone() }));
    }
    let drained = |node: &String| {
        boxed(Drained { node: node.clone(), drain: drain.clone(), later: Vec::new() })
    };
    wanted.extend(nodes.iter().map(drained));
    Ok(wanted)
}
