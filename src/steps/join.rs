//! Further nodes join.

use super::{Context, Gate, Pace, Step, kubeadm};
use crate::cluster::{API_PORT, Endpoint, Node, Role};
use crate::diagnostic::Result;
use crate::resource::{
    Absent, ApiServer, ControlPlaneJoin, EtcdJoin, Join, Reachable, Resource, Voter, boxed,
};

/// One at a time: etcd admits one learner (`DefaultMaxLearners`), and each must vote, healthy,
/// before the next, so that no moment of the joins can cost the quorum.
pub const ETCD: Step = Step {
    name: "control-plane/etcd",
    title: "join etcd, one control plane after the other",
    after: &[Gate::Leader("control-plane/init")],
    pace: Pace::AtMost(1),
    desired: etcd,
};

/// While the next control plane joins etcd: its API server needs time to start, and the kubelet its
/// credentials.
pub const CONTROL_PLANES: Step = Step {
    name: "control-plane/join",
    title: "finish joining the other control planes",
    after: &[],
    pace: Pace::Together,
    desired: control_planes,
};

/// Together, while control planes still join.
pub const WORKERS: Step = Step {
    name: "workers",
    title: "join the workers",
    after: &[Gate::Leader("control-plane/init")],
    pace: Pace::Together,
    desired: workers,
};

/// The leader, too, may have to finish its own join, where no whole control plane answers.
fn joins(context: &Context, node: &Node) -> bool {
    let finished = context.survey.must_resume_join(&node.name);
    node.role == Role::ControlPlane && (finished || !context.is_leader(node))
}

/// Whoever joins uses the virtual IP. The first control plane has it, while others may not see it.
fn way(context: &Context, node: &Node) -> Vec<Box<dyn Resource>> {
    match context.cluster.endpoint {
        Endpoint::Vip { address: vip, .. } if !context.survey.is_member(&node.name) => {
            vec![boxed(Reachable { node: node.name.clone(), vip, port: API_PORT })]
        }
        _ => Vec::new(),
    }
}

fn etcd(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if !joins(context, node) {
        return Ok(Vec::new());
    }
    let mut wanted = way(context, node);
    wanted.extend(super::all(kubeadm::patches(&context.cluster, node)));
    wanted.push(boxed(EtcdJoin { config: kubeadm::etcd_join(context, node) }));
    wanted.push(boxed(Voter { node: node.name.clone() }));
    Ok(wanted)
}

fn control_planes(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    // A member's API server is looked at with the cluster's health.
    if !joins(context, node) || context.survey.is_member(&node.name) {
        return Ok(Vec::new());
    }
    let config = kubeadm::control_plane_join(context, node);
    Ok(vec![
        boxed(ApiServer { address: node.internal }),
        boxed(ControlPlaneJoin {
            node: node.name.clone(),
            config,
            resumed: context.survey.must_resume_join(&node.name),
        }),
    ])
}

fn workers(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if node.role != Role::Worker {
        return Ok(Vec::new());
    }
    let mut wanted = way(context, node);
    wanted.push(boxed(Join { config: kubeadm::worker_join(context, node) }));
    if context.survey.is_member(&node.name) {
        // kubeadm removes it at the end of a join. It holds a token.
        wanted.push(boxed(Absent("/etc/kubernetes/bootstrap-kubelet.conf")));
    }
    Ok(wanted)
}
