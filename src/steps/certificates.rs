//! Kubelets' serving certificates: what approves them, and that each node has one.

use super::{Context, Gate, Pace, Step};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{File, Resource, ServingCertificate, Unit, boxed};
use crate::template;

/// Before there is an API, which it waits for. Kubernetes approves no kubelet's serving certificate
/// by itself; so slipway stays on every control plane and does, by the inventory, now and at each
/// renewal.
pub const APPROVER: Step = Step {
    name: "approver",
    title: "approval of kubelets' certificates",
    after: &[],
    pace: Pace::Together,
    desired: approver,
};

/// Each node's own, once the approver runs.
pub const STEP: Step = Step {
    name: "certificates",
    title: "kubelets' serving certificates",
    after: &[Gate::Leader("control-plane/init")],
    pace: Pace::Together,
    desired: |_, _| Ok(vec![boxed(ServingCertificate)]),
};

fn approver(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if node.role != Role::ControlPlane {
        return Ok(Vec::new());
    }
    let nodes = serde_json::json!(context.addresses());
    let unit = template::APPROVER_UNIT;
    let files = vec![
        context.program.file("/usr/local/bin/slipway"),
        File::text("/etc/slipway/nodes.json", format!("{nodes:#}\n")),
        File::text(unit.target(), unit.render(&serde_json::json!({}))?),
    ];
    let unit = Unit::running("slipway-approver.service", &files);
    Ok(super::all(files).chain([boxed(unit)]).collect())
}
