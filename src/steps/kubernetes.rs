//! Kubernetes' own programs on a node.

use serde_json::json;

use super::{Context, Pace, Step, artifacts};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Directory, File, Resource, Unit, boxed};
use crate::template;

/// After the runtime, before kubeadm runs.
pub const STEP: Step = Step {
    name: "kubernetes",
    title: "kubelet, kubeadm, kubectl",
    after: &[],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let program = |name| artifacts::program(&context.bundle, name, PLACE);
    let mut programs = vec![program("kubeadm")?];
    if node.role == Role::ControlPlane {
        for name in ["kubectl", "etcdctl", "etcdutl"] {
            programs.push(program(name)?);
        }
    }
    // A worker's kubelet complains every second while its folder for static pods is missing.
    let manifests = boxed(Directory("/etc/kubernetes/manifests"));
    // A member's kubelet of another version has its own step.
    let kubelet = if context.is_behind(node) { Vec::new() } else { kubelet(context)? };
    // kubeadm starts a new node's. A member's runs: a reset that was cut short may have ended it.
    let member = context.survey.is_member(&node.name);
    let unit = if member { Unit::running } else { Unit::enabled };
    let unit = (!kubelet.is_empty()).then(|| boxed(unit("kubelet.service", &kubelet)));
    Ok(super::all(kubelet).chain(super::all(programs)).chain([manifests]).chain(unit).collect())
}

const PLACE: &str = "/usr/local/bin";

/// The kubelet's unit and its program.
pub(super) fn kubelet(context: &Context) -> Result<Vec<File>> {
    let text = template::KUBELET_UNIT.render(&json!({}))?;
    let unit = File::text(template::KUBELET_UNIT.target(), text);
    Ok(vec![unit, artifacts::program(&context.bundle, "kubelet", PLACE)?])
}
