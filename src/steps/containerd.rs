//! The container runtime, and the images that a node starts with.

use serde_json::json;

use super::{Context, Pace, Step, artifacts};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{File, Resource, Unit, boxed};
use crate::template;

/// After the packages (runc is one), before the kubelet, which needs a runtime.
pub const STEP: Step = Step {
    name: "containerd",
    title: "container runtime and first images",
    after: &[],
    pace: Pace::Together,
    desired,
};

const PROGRAMS: &[&str] = &["containerd", "containerd-shim-runc-v2", "ctr"];
/// The plugins that Calico's network configuration names, and `loopback`, which containerd needs.
const PLUGINS: &[&str] = &["bandwidth", "host-local", "loopback", "portmap", "tuning"];

/// What `kubeadm init` and `join` start at once on a control plane.
const CONTROL_PLANE: &[&str] =
    &["pause", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let bundle = &context.bundle;
    let config = template::CONTAINERD.render(&json!({
        "sandbox_image": bundle.image("pause")?.reference,
        "restrict_oom_score_adj": context.facts(node).no_sys_resource,
    }))?;
    let mut files = vec![
        File::text(template::CONTAINERD.target(), config),
        File::text(
            template::CONTAINERD_UNIT.target(),
            template::CONTAINERD_UNIT.render(&json!({}))?,
        ),
    ];
    for name in PROGRAMS {
        files.push(artifacts::program(bundle, name, "/usr/local/bin")?);
    }
    let unit = Unit::running("containerd.service", &files);
    for name in PLUGINS {
        files.push(artifacts::program(bundle, name, "/opt/cni/bin")?);
    }
    let first: &[&str] = match node.role {
        Role::ControlPlane => CONTROL_PLANE,
        Role::Worker => &["pause"],
    };
    let images = artifacts::images(bundle, "to start with", first)?;
    Ok(super::all(files).chain([boxed(unit), boxed(images)]).collect())
}
