//! The part of an inventory that is about the hub: `spec.registration`, and a second document.

use std::collections::BTreeMap;
use std::path::Path;

use slipway_agent::api::{NAME_LIMIT, REGION, ZONE};

use super::keys::{Key, at};
use super::read::{flag, json, own_or_shared, owned, pairs, path, text};
use super::source::Finding;
use super::syntax;
use super::tree::{Entry, Node, Value};
use crate::cluster::{API_PORT, Hub, Registration, unreachable};

/// What belongs together where there is no kubeconfig.
const BY_HAND: [&Key; 3] = [
    at!("spec.registration.hub.endpoint"),
    at!("spec.registration.hub.caFile"),
    at!("spec.registration.hub.tokenFile"),
];

/// What stays in `spec.registration` beside a second document.
const BESIDE: [&Key; 2] = [at!("spec.registration.hub"), at!("spec.registration.replace")];

/// Contradictions in `spec.registration`, and with the `document` that takes its place.
pub(super) fn check(root: &Node, document: Option<&Node>, findings: &mut Vec<Finding>) {
    let node = root.get(at!("spec.registration"));
    if let Some(document) = document {
        beside(node, document, findings);
    }
    if node.is_some() {
        findings.extend(long_name(root, document));
        findings.extend(hub_of_this_machine(root));
    }
    let Some(hub) = root.get(at!("spec.registration.hub")) else { return };
    if !matches!(hub.value, Value::Map(_)) {
        return;
    }
    let (given, missing): (Vec<&Key>, Vec<&Key>) =
        BY_HAND.into_iter().partition(|key| root.get(key).is_some());
    match (root.get(at!("spec.registration.hub.kubeconfig")), given.as_slice()) {
        (Some(_), []) => {}
        (Some(kubeconfig), [first, ..]) => {
            let title = format!("`kubeconfig` and `{}` exclude each other", first.name());
            findings.push(Finding::new(title, &kubeconfig.span, ""));
        }
        (None, []) => findings.push(Finding::new(
            "`hub` needs either `kubeconfig`, or `endpoint`, `caFile` and `tokenFile`",
            &hub.span,
            "",
        )),
        (None, _) => findings.extend(
            missing
                .into_iter()
                .map(|key| Finding::new(format!("`hub` has no `{}`", key.name()), &hub.span, "")),
        ),
    }
}

/// A name that the hub would refuse at the end of an apply.
fn long_name(root: &Node, document: Option<&Node>) -> Option<Finding> {
    let own = match document {
        Some(document) => document.get(at!("ClusterRegistration.metadata.name")),
        None => root.get(at!("spec.registration.name")),
    };
    let written = own.or(root.get(at!("metadata.name")))?;
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
fn hub_of_this_machine(root: &Node) -> Option<Finding> {
    let written = root.get(at!("spec.registration.hub.endpoint"))?;
    let (host, _) = syntax::authority(written.text()?)?;
    let title = format!("the cluster's agent cannot reach the hub at {host}");
    let finding = Finding::new(title, &written.span, unreachable(host)?);
    Some(finding.hint("name the address that other machines reach the hub at"))
}

fn beside(node: Option<&Node>, document: &Node, findings: &mut Vec<Finding>) {
    let kind = document.get(at!("ClusterRegistration.kind")).map_or(0..0, |kind| kind.span.clone());
    let Some(node) = node else {
        let title = "a ClusterRegistration without a hub";
        let finding = Finding::new(title, &kind, "which hub is to get it?");
        findings.push(finding.hint("say so in `spec.registration.hub` of the first document"));
        return;
    };
    let stays = |entry: &&Entry| BESIDE.iter().any(|key| key.name() == entry.key);
    for entry in node.entries().iter().filter(|entry| !stays(entry)) {
        let title = format!("`{}` beside a ClusterRegistration", entry.key);
        let finding = Finding::new(title, &entry.span, "say it there");
        findings.push(finding.mark(&kind, "this takes its place"));
    }
    if let Some(accepted) = document.get(at!("ClusterRegistration.spec.accepted"))
        && accepted.text() == Some("false")
    {
        let title = "`accepted: false` would keep the cluster out";
        findings.push(Finding::new(title, &accepted.span, "leave it out"));
    }
}

/// What a correct `spec.registration` of `root`, and the `document` that takes its place, mean.
pub(super) fn resolve(root: &Node, document: Option<&Node>, dir: &Path) -> Option<Registration> {
    let file = |key| path(&text(root, key)?, dir);
    let hub = match file(at!("spec.registration.hub.kubeconfig")) {
        Some(file) => Hub::Kubeconfig(file),
        None => {
            let endpoint = text(root, at!("spec.registration.hub.endpoint"))?;
            let (host, port) = syntax::authority(&endpoint)?;
            Hub::Endpoint {
                authority: format!("{host}:{}", port.unwrap_or(API_PORT)),
                ca: file(at!("spec.registration.hub.caFile"))?,
                token: file(at!("spec.registration.hub.tokenFile"))?,
            }
        }
    };
    // Beside a document, its keys are not written in `spec.registration`.
    let said = |own, shared| own_or_shared((document, own), (root, shared));
    let mode = said(at!("ClusterRegistration.spec.mode"), at!("spec.registration.mode"))?;
    let mode = owned(&mode)?;
    let interval = at!("spec.registration.syncInterval");
    let every = match said(at!("ClusterRegistration.spec.syncInterval"), interval) {
        Some(written) => syntax::interval(written.text()?)?,
        None => syntax::interval(interval.default_by(&mode)?)?,
    };
    let name = said(at!("ClusterRegistration.metadata.name"), at!("spec.registration.name"));
    let labels = said(at!("ClusterRegistration.metadata.labels"), at!("spec.registration.labels"));
    let mut labels = labels.map_or(Some(BTreeMap::new()), |labels| pairs(&labels))?;
    let regional =
        [(REGION, at!("spec.registration.region")), (ZONE, at!("spec.registration.zone"))];
    labels.extend(
        regional.into_iter().filter_map(|(label, key)| Some((label.to_owned(), text(root, key)?))),
    );
    let capabilities =
        said(at!("ClusterRegistration.spec.capabilities"), at!("spec.registration.capabilities"))?;
    let more = [
        at!("ClusterRegistration.spec.apiEndpoint"),
        at!("ClusterRegistration.spec.caData"),
        at!("ClusterRegistration.spec.credential"),
        at!("ClusterRegistration.spec.adapters"),
    ];
    let more =
        more.into_iter().filter_map(|key| Some((key.name().to_owned(), json(document?.get(key)?))));
    Some(Registration {
        hub,
        name: match name {
            Some(own) => owned(&own)?,
            None => text(root, at!("metadata.name"))?,
        },
        mode,
        every,
        labels,
        capabilities: capabilities
            .list()
            .iter()
            .filter_map(owned)
            .filter(|one| one != "Report")
            .collect(),
        more: more.collect(),
        replace: flag(root, at!("spec.registration.replace"))?,
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
