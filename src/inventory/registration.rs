//! The part of an inventory that is about the hub.

use std::path::Path;
use std::time::Duration;

use super::resolve::{flag, owned, pairs, path, text};
use super::source::Finding;
use super::syntax;
use super::tree::{Node, Value};
use crate::cluster::{API_PORT, Hub, Registration};

/// The well-known labels of region and zone (`k8s.io/api/core/v1/well_known_labels.go`).
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What belongs together where there is no kubeconfig.
const BY_HAND: [&str; 3] = ["endpoint", "caFile", "tokenFile"];

/// Contradictions in `spec.registration`.
pub(super) fn check(root: &Node, findings: &mut Vec<Finding>) {
    let Some(hub) = root.get("spec.registration.hub") else { return };
    if !matches!(hub.value, Value::Map(_)) {
        return;
    }
    let given: Vec<&str> = BY_HAND.into_iter().filter(|key| hub.get(key).is_some()).collect();
    match (hub.get("kubeconfig"), given.as_slice()) {
        (Some(_), []) => {}
        (Some(kubeconfig), [first, ..]) => {
            let title = format!("`kubeconfig` and `{first}` exclude each other");
            findings.push(Finding::new(title, &kubeconfig.span, ""));
        }
        (None, []) => findings.push(Finding::new(
            "`hub` needs either `kubeconfig`, or `endpoint`, `caFile` and `tokenFile`",
            &hub.span,
            "",
        )),
        (None, given) => {
            for missing in BY_HAND.iter().filter(|key| !given.contains(key)) {
                findings.push(Finding::new(format!("`hub` has no `{missing}`"), &hub.span, ""));
            }
        }
    }
}

/// What `node`, a correct `spec.registration` of `root`, means.
pub(super) fn resolve(root: &Node, node: &Node, dir: &Path) -> Option<Registration> {
    let file = |key: &str| path(node.get(&format!("hub.{key}"))?.text()?, dir);
    let hub = match file("kubeconfig") {
        Some(file) => Hub::Kubeconfig(file),
        None => {
            let (host, port) = syntax::authority(node.get("hub.endpoint")?.text()?)?;
            let authority = format!("{host}:{}", port.unwrap_or(API_PORT));
            Hub::Endpoint { authority, ca: file("caFile")?, token: file("tokenFile")? }
        }
    };
    let mode = text(root, "spec.registration.mode")?.to_owned();
    let every = match node.get("syncInterval") {
        Some(written) => syntax::interval(written.text()?)?,
        None if mode == "Edge" => Duration::from_secs(300),
        None => Duration::from_secs(30),
    };
    let mut labels = pairs(node, "labels")?;
    for (label, key) in [(REGION, "region"), (ZONE, "zone")] {
        labels.extend(node.get(key).and_then(owned).map(|value| (label.to_owned(), value)));
    }
    let name = match node.get("name") {
        Some(own) => owned(own)?,
        None => text(root, "metadata.name")?.to_owned(),
    };
    let replace = flag(root, "spec.registration.replace")?;
    let capabilities = root.items("spec.registration.capabilities").filter_map(owned).collect();
    Some(Registration { hub, name, mode, every, labels, capabilities, replace })
}
