//! The part of an inventory that is about the hub: `spec.registration`, and a second document.

use std::path::Path;
use std::time::Duration;

use slipway_agent::api::{NAME_LIMIT, REGION, ZONE};

use super::read::{flag, json, owned, pairs, path, text};
use super::source::Finding;
use super::syntax;
use super::tree::{Node, Value};
use crate::cluster::{API_PORT, Hub, Registration, unreachable};

/// What belongs together where there is no kubeconfig.
const BY_HAND: [&str; 3] = ["endpoint", "caFile", "tokenFile"];

/// What stays in `spec.registration` beside a second document.
const BESIDE: [&str; 2] = ["hub", "replace"];

/// Contradictions in `spec.registration`, and with the `document` that takes its place.
pub(super) fn check(root: &Node, document: Option<&Node>, findings: &mut Vec<Finding>) {
    let node = root.get("spec.registration");
    if let Some(document) = document {
        beside(node, document, findings);
    }
    if let Some(node) = node {
        findings.extend(long_name(root, node, document));
        findings.extend(hub_of_this_machine(node));
    }
    let Some(hub) = node.and_then(|node| node.get("hub")) else { return };
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

/// A name that the hub would refuse at the end of an apply.
fn long_name(root: &Node, node: &Node, document: Option<&Node>) -> Option<Finding> {
    let own = match document {
        Some(document) => document.get("metadata.name"),
        None => node.get("name"),
    };
    let written = own.or(root.get("metadata.name"))?;
    let length = written.text().filter(|text| (syntax::LABEL.fault)(text).is_none())?.len();
    (length > NAME_LIMIT).then(|| {
        let title = format!("the hub takes names of at most {NAME_LIMIT} characters");
        let finding = Finding::new(title, &written.span, format!("this one has {length}"));
        match own {
            Some(_) => finding,
            None => finding.hint("`spec.registration.name` gives the cluster another name there"),
        }
    })
}

/// A hub's address that leads agents, which run in the cluster, back to their own machines.
fn hub_of_this_machine(node: &Node) -> Option<Finding> {
    let written = node.get("hub.endpoint")?;
    let (host, _) = syntax::authority(written.text()?)?;
    let title = format!("the cluster's agent cannot reach the hub at {host}");
    let finding = Finding::new(title, &written.span, unreachable(host)?);
    Some(finding.hint("name the address that other machines reach the hub at"))
}

fn beside(node: Option<&Node>, document: &Node, findings: &mut Vec<Finding>) {
    let kind = document.get("kind").map_or(0..0, |kind| kind.span.clone());
    let Some(node) = node else {
        let title = "a ClusterRegistration without a hub";
        let finding = Finding::new(title, &kind, "which hub is to get it?");
        findings.push(finding.hint("say so in `spec.registration.hub` of the first document"));
        return;
    };
    for entry in node.entries().iter().filter(|entry| !BESIDE.contains(&entry.key.as_str())) {
        let title = format!("`{}` beside a ClusterRegistration", entry.key);
        let finding = Finding::new(title, &entry.span, "say it there");
        findings.push(finding.mark(&kind, "this takes its place"));
    }
    if let Some(accepted) = document.get("spec.accepted")
        && accepted.text() == Some("false")
    {
        let title = "`accepted: false` would keep the cluster out";
        findings.push(Finding::new(title, &accepted.span, "leave it out"));
    }
}

/// What `node`, a correct `spec.registration` of `root`, and the `document` that takes its place mean.
pub(super) fn resolve(
    root: &Node,
    node: &Node,
    document: Option<&Node>,
    dir: &Path,
) -> Option<Registration> {
    let file = |key: &str| path(node.get(&format!("hub.{key}"))?.text()?, dir);
    let hub = match file("kubeconfig") {
        Some(file) => Hub::Kubeconfig(file),
        None => {
            let (host, port) = syntax::authority(node.get("hub.endpoint")?.text()?)?;
            let authority = format!("{host}:{}", port.unwrap_or(API_PORT));
            Hub::Endpoint { authority, ca: file("caFile")?, token: file("tokenFile")? }
        }
    };
    let spec = match document {
        Some(document) => document.get("spec"),
        None => Some(node),
    };
    let said = |key: &str| spec.and_then(|spec| spec.get(key));
    let mode = match said("mode") {
        Some(written) => written.text()?,
        None => text(root, "spec.registration.mode")?,
    };
    let every = match said("syncInterval") {
        Some(written) => syntax::interval(written.text()?)?,
        None if mode == "Edge" => Duration::from_secs(300),
        None => Duration::from_secs(30),
    };
    let about = document.map_or(Some(node), |document| document.get("metadata"))?;
    let mut labels = pairs(about, "labels")?;
    for (label, key) in [(REGION, "region"), (ZONE, "zone")] {
        labels.extend(node.get(key).and_then(owned).map(|value| (label.to_owned(), value)));
    }
    let name = match about.get("name") {
        Some(own) => owned(own)?,
        None => text(root, "metadata.name")?.to_owned(),
    };
    let capabilities = spec.into_iter().flat_map(|spec| spec.items("capabilities"));
    let more = ["apiEndpoint", "caData", "credential", "adapters"];
    let more = more.into_iter().filter(|_| document.is_some());
    Some(Registration {
        hub,
        name,
        mode: mode.to_owned(),
        every,
        labels,
        capabilities: capabilities.filter_map(owned).filter(|one| one != "Report").collect(),
        more: more.filter_map(|key| Some((key.to_owned(), json(said(key)?)))).collect(),
        replace: flag(root, "spec.registration.replace")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_has_the_same_limit() {
        let kinds = serde_json::to_string(&slipway_agent::api::crds()).unwrap();
        assert!(kinds.contains(&format!("self.metadata.name.size() <= {NAME_LIMIT} ")));
    }
}
