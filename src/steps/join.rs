//! Further nodes join.

use super::{Context, Gate, Pace, Step, kubeadm};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Join, Resource, Voter, boxed};

/// One at a time: etcd admits one learner (`DefaultMaxLearners`), and each must vote, healthy,
/// before the next, so that no moment of the joins can cost the quorum.
pub const CONTROL_PLANES: Step = Step {
    name: "control-plane/join",
    title: "join the other control planes, one by one",
    after: Some(Gate::Leader("control-plane/init")),
    pace: Pace::OneByOne,
    desired: control_planes,
};

/// Together, while control planes still join.
pub const WORKERS: Step = Step {
    name: "workers",
    title: "join the workers",
    after: Some(Gate::Leader("control-plane/init")),
    pace: Pace::Together,
    desired: workers,
};

fn control_planes(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if node.role != Role::ControlPlane || context.is_leader(node) {
        return Ok(Vec::new());
    }
    let mut wanted = super::all(kubeadm::patches(&context.cluster, node)).collect::<Vec<_>>();
    wanted.push(boxed(Join { config: kubeadm::join(context, node) }));
    wanted.push(boxed(Voter { node: node.name.clone() }));
    Ok(wanted)
}

fn workers(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if node.role != Role::Worker {
        return Ok(Vec::new());
    }
    Ok(vec![boxed(Join { config: kubeadm::join(context, node) })])
}
