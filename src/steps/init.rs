//! The first control plane; and a token, while any node is still to join.

use super::{Context, Pace, Step, kubeadm};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::resource::{
    Init, NoAutoApproval, NoEtcdMember, NoNode, Objects, Resource, SUPER_ADMIN, Token, Voter, boxed,
};

/// A cluster begins on exactly one node. `init` is desired only when every control plane has
/// answered the survey and none is a member: anything else would make a second cluster.
pub const STEP: Step = Step {
    name: "control-plane/init",
    title: "initialise the cluster, or open it for joins",
    after: &[],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if node.role != Role::ControlPlane || !context.is_leader(node) {
        return Ok(Vec::new());
    }
    let mut wanted = super::all(kubeadm::patches(&context.cluster, node)).collect::<Vec<_>>();
    if context.is_new() {
        wanted.push(boxed(Init { config: kubeadm::init(context, node)? }));
    } else if context.survey.is_member(&node.name) && !context.upgrades() {
        wanted.push(boxed(objects(context, node)?));
    }
    // Between the two: kubeadm makes it, and no token shall be worth a node's name by itself.
    wanted.push(boxed(NoAutoApproval));
    let joining = context.joining();
    if !context.is_new() && !joining.is_empty() {
        let nodes = joining.iter().map(|name| (*name).to_owned()).collect();
        wanted.push(boxed(Token { object: kubeadm::token_object(context), nodes }));
    }
    for node in &context.cluster.nodes {
        if let Some(member) = context.survey.stale_member(node) {
            let (id, node) = (member.id.clone(), node.name.clone());
            wanted.push(boxed(NoEtcdMember { id, node, voted: member.votes(), alive: false }));
        }
        if let Some(uid) = context.survey.stale_node(node) {
            wanted.push(boxed(NoNode { node: node.name.clone(), uid: uid.to_owned() }));
        }
    }
    wanted.push(boxed(Voter { node: node.name.clone() }));
    // `Init` removes it; for a node that lost power before that.
    wanted.push(boxed(SUPER_ADMIN));
    Ok(wanted)
}

/// What kubeadm keeps in a living cluster.
pub(super) fn objects(context: &Context, node: &Node) -> Result<Objects> {
    Ok(Objects {
        dry_run: kubeadm::dry_run(context, node)?,
        server: format!("https://{}", context.cluster.endpoint.authority()),
        ca: context.pki.ca_pem().to_vec(),
    })
}
