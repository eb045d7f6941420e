//! What takes nodes out of the cluster, at a person's word: `slipway node remove`. Steps of a run of its own, beside
//! those of an apply that the other nodes need.

use super::{Context, Gate, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{
    Drained, Ended, Evictions, NoEtcdMember, NoNode, Reset, Resource, Undone, boxed,
};

/// First, while everything works that pods go to.
pub const DRAIN: Step = Step {
    name: "removal/drain",
    title: "pods of nodes that leave",
    after: &[],
    pace: Pace::Together,
    desired: drain,
};

/// Before the other control planes stop to count on them: a virtual IP that one of them holds goes to another, and
/// none of them claims it again, wherever the run ends.
pub const ENDPOINT: Step = Step {
    name: "removal/endpoint",
    title: "the virtual IP, given away by nodes that leave",
    after: &[Gate::Leader("removal/drain")],
    pace: Pace::Together,
    desired: |context, node| {
        let ended = |unit| boxed(Ended(unit));
        let leaves = context.cluster.leaves(&node.name);
        let units = ["keepalived.service", "haproxy.service"].into_iter().filter(|_| leaves);
        Ok(units.map(ended).collect())
    },
};

/// Nothing leads to their API servers any more. A member goes while it lives: a dead one would still count when
/// a majority has to agree.
pub const ETCD: Step = Step {
    name: "removal/etcd",
    title: "etcd members of nodes that leave",
    after: &[Gate::Others("endpoint")],
    pace: Pace::Together,
    desired: etcd,
};

/// What lives in etcd is never reset.
pub const MACHINE: Step = Step {
    name: "removal/machine",
    title: "reset of machines that leave",
    after: &[Gate::Leader("removal/etcd")],
    pace: Pace::Together,
    desired: |context, node| {
        let leaves = context.cluster.leaves(&node.name) && context.survey.identity.is_some();
        let reset = Reset { node: node.name.clone(), what: Undone::Member };
        Ok(if leaves { vec![boxed(reset)] } else { Vec::new() })
    },
};

/// A kubelet that runs would register its node anew when it starts again.
pub const NODE: Step = Step {
    name: "removal/node",
    title: "nodes that leave",
    after: &[Gate::Others("removal/machine")],
    pace: Pace::Together,
    desired: |context, node| {
        let listed = |name: &String| {
            let uid = context.survey.listed(name)?.uid.clone();
            Some(boxed(NoNode { node: name.clone(), uid }))
        };
        Ok(leaving(context, node).filter_map(listed).collect())
    },
};

/// The names of those that leave, on the leader.
fn leaving<'a>(context: &'a Context, node: &Node) -> impl Iterator<Item = &'a String> {
    let leader = context.is_leader(node);
    context.cluster.leaving.iter().filter(move |_| leader).map(|leaving| &leaving.name)
}

/// Whether its kubelet ends pods that are evicted.
fn runs_pods(context: &Context, name: &str) -> bool {
    context.survey.listed(name).is_some_and(|listed| listed.ready)
}

fn drain(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let nodes: Vec<String> =
        leaving(context, node).filter(|name| runs_pods(context, name)).cloned().collect();
    let drain = &context.cluster.drain;
    let mut wanted: Vec<Box<dyn Resource>> = Vec::new();
    if !nodes.is_empty() {
        wanted.push(boxed(Evictions { nodes: nodes.clone(), drain: drain.clone() }));
    }
    let mut later = nodes.into_iter();
    while let Some(node) = later.next() {
        wanted.push(boxed(Drained { node, drain: drain.clone(), later: later.clone().collect() }));
    }
    Ok(wanted)
}

fn etcd(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let member = |name: &String| {
        let member = context.survey.member_named(name)?;
        let alive = context.survey.etcd_answers(name);
        let (id, node, voted) = (member.id.clone(), name.clone(), member.votes());
        Some(NoEtcdMember { id, node, voted, alive })
    };
    let mut members: Vec<NoEtcdMember> = leaving(context, node).filter_map(member).collect();
    // A dead one counts for the majority, and adds nothing to it.
    members.sort_by_key(|member| member.alive);
    Ok(members.into_iter().map(|member| boxed(member)).collect())
}
