//! The static pods of members that are control planes, and the API server's certificate: as kubeadm makes
//! them, and running.

use std::net::SocketAddrV4;

use super::{Context, Gate, Pace, Step, kubeadm};
use crate::cluster::{API_PORT, Node, Role};
use crate::diagnostic::Result;
use crate::resource::{
    ApiServerCertificate, Component, EtcdSnapshot, Resource, STATIC_PODS, StaticPod, boxed,
};

/// After joins, which bring the node's own patches. One control plane after the other, the leader first, each
/// ready before the next: etcd and the API lose no more than one at a time.
pub const STEP: Step = Step {
    name: "control-plane/static-pods",
    title: "static pods, as kubeadm writes them",
    after: &[Gate::Leader("control-plane/static-pods")],
    pace: Pace::Rolling(1),
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if node.role != Role::ControlPlane || !context.survey.is_member(&node.name) {
        return Ok(Vec::new());
    }
    let certificate = boxed(ApiServerCertificate {
        names: context.cluster.api_server_names(node),
        address: SocketAddrV4::new(node.internal, API_PORT),
        configuration: kubeadm::certificate(context, node)?,
    });
    let mut wanted: Vec<Box<dyn Resource>> = Vec::new();
    if context.is_leader(node)
        && let Some(before) = context.upgrades_from()
    {
        wanted.push(boxed(EtcdSnapshot { before: format!("v{before}") }));
    }
    wanted.push(certificate);
    let dry_run = kubeadm::dry_run(context, node)?;
    let pod = |name: &&'static str| {
        boxed(StaticPod { name, node: node.name.clone(), dry_run: dry_run.clone() })
    };
    let components = Component::ALL.into_iter().map(boxed);
    Ok(wanted.into_iter().chain(STATIC_PODS.iter().map(pod)).chain(components).collect())
}
