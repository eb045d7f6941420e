//! Another version of Kubernetes, once every control plane has it: what kubeadm keeps in the cluster, and the
//! kubelets.

use super::{Context, Gate, Pace, Step, init, kubeadm, kubernetes};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{
    DeprecatedApis, Drained, Evictions, KubeletFiles, Resource, Returned, Unit, boxed,
};

/// Before any API server becomes another: each counts what it was asked for since it started.
pub const APIS: Step = Step {
    name: "upgrade/apis",
    title: "APIs that another version does not serve",
    after: &[],
    pace: Pace::Together,
    desired: |context, node| {
        let meant = &context.cluster.kubernetes;
        let minor = context.upgrades_from().is_some_and(|now| now.minor != meant.minor);
        let asked = minor && node.role == Role::ControlPlane;
        let apis = DeprecatedApis { address: node.internal, version: meant.clone() };
        Ok(if asked { vec![boxed(apis)] } else { Vec::new() })
    },
};

/// kube-proxy and CoreDNS must not be newer than any API server (kubernetes.io, "Version Skew Policy"), and every
/// node must have their images; and what `kubeadm-config` says tells a run that was cut short how far the one
/// before came.
pub const OBJECTS: Step = Step {
    name: "upgrade/cluster",
    title: "kubeadm's objects for another version",
    after: &[Gate::ControlPlanes("control-plane/static-pods"), Gate::Planned("images")],
    pace: Pace::Together,
    desired: objects,
};

/// Nodes that an earlier run drained come first: no more are without pods than this run drains.
pub const RESUMED: Step = Step {
    name: "upgrade/drained",
    title: "kubelets of nodes that are drained already",
    after: &[Gate::Leader("upgrade/cluster")],
    pace: Pace::Rolling(1),
    desired: |context, node| {
        let begun = context.survey.is_member(&node.name) && context.survey.is_cordoned(&node.name);
        if begun { kubelet(context, node) } else { Ok(Vec::new()) }
    },
};

/// No kubelet is newer than an API server; and each of them finds its configuration in the cluster.
pub const CONTROL_PLANES: Step = Step {
    name: "upgrade/control-planes",
    title: "control planes' kubelets of another version",
    after: &[Gate::Leader("upgrade/cluster"), Gate::Planned("upgrade/drained")],
    pace: Pace::Rolling(1),
    desired: |context, node| of(Role::ControlPlane, context, node),
};

/// What goes wrong on a control plane does not go wrong where people's pods are.
pub const WORKERS: Step = Step {
    name: "upgrade/workers",
    title: "workers' kubelets of another version",
    after: &[Gate::ControlPlanes("upgrade/control-planes"), Gate::Planned("upgrade/drained")],
    pace: Pace::Drained,
    desired: |context, node| of(Role::Worker, context, node),
};

fn objects(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let mut wanted: Vec<Box<dyn Resource>> = Vec::new();
    if !context.is_leader(node) {
        return Ok(wanted);
    }
    if context.upgrades() {
        wanted.push(boxed(init::objects(context, node)?));
    }
    let behind = context.cluster.nodes.iter().filter(|node| is_drained(context, node));
    let nodes: Vec<String> = behind.map(|node| node.name.clone()).collect();
    if !nodes.is_empty() {
        wanted.push(boxed(Evictions { nodes, drain: context.cluster.drain.clone() }));
    }
    Ok(wanted)
}

/// Whether its kubelet becomes one of another minor version: of the same one, it goes on with the pods that it finds.
fn is_drained(context: &Context, node: &Node) -> bool {
    let now = context.survey.kubelet_version(&node.name);
    let other = now.is_some_and(|now| now.minor != context.cluster.kubernetes.minor);
    other && context.is_behind(node)
}

fn of(role: Role, context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let begun = context.survey.is_cordoned(&node.name);
    if node.role != role || begun || !context.is_behind(node) {
        return Ok(Vec::new());
    }
    kubelet(context, node)
}

/// The kubelet as it is meant, and the node without pods meanwhile, where it needs that.
fn kubelet(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let meant = &context.cluster.kubernetes;
    let mut wanted: Vec<Box<dyn Resource>> = Vec::new();
    if context.is_behind(node) {
        if is_drained(context, node) {
            let (node, drain) = (node.name.clone(), context.cluster.drain.clone());
            wanted.push(boxed(Drained { node, drain, later: Vec::new() }));
        }
        let files = kubernetes::kubelet(context)?;
        let unit = Unit::running("kubelet.service", &files);
        wanted.extend(super::all(files));
        wanted.push(boxed(KubeletFiles { dry_run: kubeadm::dry_run(context, node)? }));
        wanted.push(boxed(unit));
    }
    wanted.push(boxed(Returned { node: node.name.clone(), version: format!("v{meant}") }));
    Ok(wanted)
}
