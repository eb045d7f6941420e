//! Members' kubelets: as kubeadm configures them.

use super::{Context, Pace, Step, kubeadm};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{KubeletFiles, Resource, boxed};

/// One node after the other, each healthy before the next: a configuration that no kubelet takes
/// stops one of them.
pub const STEP: Step = Step {
    name: "kubelet",
    title: "kubelet, as kubeadm configures it",
    after: &[],
    pace: Pace::Rolling(1),
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    // That of another version goes with its own configuration.
    if !context.survey.is_member(&node.name) || context.is_behind(node) {
        return Ok(Vec::new());
    }
    Ok(vec![boxed(KubeletFiles { dry_run: kubeadm::dry_run(context, node)? })])
}
