//! The images of everything that runs in pods.

use super::{Context, Pace, Step, artifacts};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Resource, boxed};

/// After `control-plane/init`, which needs none of these: the first control plane is up while the
/// others still import.
pub const STEP: Step =
    Step { name: "images", title: "images for pods", after: &[], pace: Pace::Together, desired };

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let addons = &context.cluster.addons;
    let mut names = vec!["kube-proxy", "coredns"];
    if addons.calico {
        names.extend(["calico-node", "calico-cni"]);
    }
    if context.registration.is_some() || addons.hub {
        names.push("slipway-agent");
    }
    // The bundle's add-ons keep their controllers on control planes.
    if node.role == Role::ControlPlane {
        if addons.calico {
            names.push("calico-kube-controllers");
        }
        if addons.metrics_server {
            names.push("metrics-server");
        }
    }
    Ok(vec![boxed(artifacts::images(&context.bundle, "for pods", &names)?)])
}
