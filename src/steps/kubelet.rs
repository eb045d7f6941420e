//! Members' kubelets: as kubeadm configures them.

use super::{Context, Gate, Pace, Step, kubeadm};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{KubeletFiles, Resource, boxed};

/// Before static pods, which need a kubelet. One that starts less than 10 s after a container takes it for a new
/// one (`kubeletRestartGracePeriod` in its `prober_manager.go`): it calls it ready, then for up to 20 s not.
/// One node after the other, each healthy before the next: a configuration that no kubelet takes stops one of them.
pub const CONTROL_PLANES: Step = Step {
    name: "control-plane/kubelet",
    title: "control planes' kubelets, as kubeadm configures them",
    after: &[],
    pace: Pace::Rolling(1),
    desired: |context, node| of(Role::ControlPlane, context, node),
};

/// What no kubelet takes, the leader's finds out. No control plane waits for a worker.
pub const WORKERS: Step = Step {
    name: "kubelet",
    title: "workers' kubelets, as kubeadm configures them",
    after: &[Gate::LeaderFirst("control-plane/kubelet")],
    pace: Pace::Rolling(1),
    desired: |context, node| of(Role::Worker, context, node),
};

fn of(role: Role, context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    // That of another version goes with its own configuration.
    if node.role != role || !context.survey.is_member(&node.name) || context.is_behind(node) {
        return Ok(Vec::new());
    }
    Ok(vec![boxed(KubeletFiles { dry_run: kubeadm::dry_run(context, node)? })])
}
