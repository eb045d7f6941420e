//! Kubelets' serving certificates: what approves them, and that each node has one.

use super::{Context, Pace, Step};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Absent, File, Resource, ServingCertificate, Unit, boxed};
use crate::template;

/// After the joins. Kubernetes approves no kubelet's serving certificate by itself; so slipway
/// stays on every control plane and does, by the inventory, now and at each renewal.
pub const STEP: Step = Step {
    name: "certificates",
    title: "kubelets' serving certificates",
    after: None,
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let mut wanted = Vec::new();
    if node.role == Role::ControlPlane {
        // kubeadm leaves it on the first node; it outranks every access rule and is needed no more.
        wanted.push(boxed(Absent("/etc/kubernetes/super-admin.conf")));
        let nodes = serde_json::json!(context.addresses());
        let unit = template::APPROVER_UNIT;
        let files = vec![
            context.program.file("/usr/local/bin/slipway"),
            File::text("/etc/slipway/nodes.json", format!("{nodes:#}\n")),
            File::text(unit.target(), unit.render(&serde_json::json!({}))?),
        ];
        let unit = Unit::running("slipway-approver.service", &super::digests(&files));
        wanted.extend(super::all(files).chain([boxed(unit)]));
    }
    wanted.push(boxed(ServingCertificate));
    Ok(wanted)
}
