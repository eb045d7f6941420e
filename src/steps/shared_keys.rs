//! The keys that all control planes share.

use super::{Context, Pace, Step};
use crate::cluster::{Node, Role};
use crate::diagnostic::Result;
use crate::pki::Content;
use crate::resource::{File, Resource, Synchronised, boxed};
use crate::secret::Secret;

/// Right before kubeadm, which makes everything else from these; and after the clock is right,
/// since it decides which certificates are valid. Only control planes get keys.
pub const STEP: Step =
    Step { name: "pki", title: "shared keys", after: &[], pace: Pace::Together, desired };

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let mut wanted = Vec::new();
    // A member's clock is chrony's business: a time server that is away is no reason to change it.
    if !context.survey.is_member(&node.name) {
        wanted.push(boxed(Synchronised));
    }
    if node.role == Role::ControlPlane {
        wanted.extend(context.pki.files().into_iter().map(|file| {
            let path = format!("/etc/kubernetes/pki/{}", file.name);
            let mode = file.content.mode();
            // A certificate is public, but of no interest in a plan.
            let bytes = match file.content {
                Content::Public(bytes) => Secret::new(bytes),
                Content::Secret(bytes) => bytes,
            };
            boxed(File::secret(path, bytes).mode(mode).never_replaced())
        }));
    }
    Ok(wanted)
}
