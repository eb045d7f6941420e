//! The certificate requests of one cluster: each is approved or denied, and where the hub approves and does
//! not sign, the cluster gets the right to make tokens.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::MANAGER;
use super::approve::{Verdict, judge};
use super::shared::{Shared, count, lock};
use crate::access;
use crate::api::{BOOTSTRAP_USED, ClusterRegistration, CredentialType, clip};
use crate::apply::{Applier, dynamic};
use crate::error::{Context as _, Result};

/// Answers a cluster's certificate requests, if it has any. Returns when to look at them again.
pub(super) async fn answer(
    shared: &Shared,
    cluster: &str,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    // Removed before the look, so that a request that arrives meanwhile is not forgotten.
    if !lock(&shared.asking).remove(cluster) {
        return Ok(None);
    }
    let answered = answer_all(shared, cluster, registration).await;
    if !matches!(answered, Ok(None)) {
        lock(&shared.asking).insert(cluster.to_owned());
    }
    answered
}

async fn answer_all(
    shared: &Shared,
    cluster: &str,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    let api = Api::<CertificateSigningRequest>::all(shared.client.clone());
    let mut next = None;
    for renewal in [false, true] {
        let name = access::request_name(cluster, renewal);
        let found = api.get_opt(&name).await.context(|| format!("reading the request {name}"))?;
        if let Some(request) = found {
            next = next.max(answer_one(shared, &api, &request, registration).await?);
        }
    }
    Ok(next)
}

/// Answers one request. Returns when to look at it again, if more is to be done.
async fn answer_one(
    shared: &Shared,
    api: &Api<CertificateSigningRequest>,
    request: &CertificateSigningRequest,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    let status = request.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let has = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    if status.certificate.is_some() || has("Denied").is_some() || has("Failed").is_some() {
        return Ok(None);
    }
    if let Some(approved) = has("Approved") {
        return allow_tokens(shared, approved, registration).await;
    }
    let (kind, counter, message) = match judge(request, registration) {
        Verdict::First => {
            let used = request.uid().unwrap_or_default();
            use_up(shared, registration, &used).await?;
            ("Approved", &shared.metrics.approved, "the cluster's first certificate".to_owned())
        }
        Verdict::Renewal => {
            ("Approved", &shared.metrics.approved, "the cluster renews its certificate".to_owned())
        }
        Verdict::Deny(why) => ("Denied", &shared.metrics.denied, why),
    };
    let name = request.name_any();
    tracing::info!(request = name, verdict = kind, message);
    let condition = json!({
        "type": kind, "status": "True", "reason": "ClusterRegistration",
        "message": clip(&message, 512), "lastUpdateTime": Timestamp::now().to_string(),
    });
    // With the version that was judged, so that nobody can replace the request meanwhile.
    let patch = json!({
        "metadata": { "resourceVersion": request.resource_version() },
        "status": { "conditions": [condition] },
    });
    let written = api.patch_approval(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    written.context(|| format!("answering the request {name}"))?;
    count(counter);
    Ok((kind == "Approved").then_some(shared.options.issue_limit))
}

/// Lets a cluster make tokens whose request was `approved` and not signed in time, or that is to use
/// tokens anyway. Returns how much of that time is left.
async fn allow_tokens(
    shared: &Shared,
    approved: &CertificateSigningRequestCondition,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    let since = approved.last_update_time.as_ref().map_or_else(Timestamp::now, |time| time.0);
    let waited = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
    let left = shared.options.issue_limit.saturating_sub(waited);
    let certificate = registration.spec.credential.kind == CredentialType::Certificate;
    if certificate && !left.is_zero() {
        return Ok(Some(left));
    }
    let cluster = registration.name_any();
    let binding = dynamic(&access::token_binding(&cluster))?;
    Applier::new(shared.client.clone(), MANAGER).apply(&binding).await?;
    tracing::info!(cluster, "its approved request was not signed: it may make tokens");
    Ok(None)
}

/// Writes into the registration which request the bootstrap credential was used for, before that is
/// approved. Of two requests, the second finds the registration changed.
async fn use_up(shared: &Shared, registration: &ClusterRegistration, request: &str) -> Result<()> {
    if registration.annotations().contains_key(BOOTSTRAP_USED) {
        return Ok(());
    }
    let patch = json!({ "metadata": {
        "resourceVersion": registration.resource_version(),
        "annotations": { BOOTSTRAP_USED: request },
    }});
    let name = registration.name_any();
    let api = Api::<ClusterRegistration>::all(shared.client.clone());
    let written = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    written.context(|| format!("marking the bootstrap credential of {name} as used")).map(drop)
}
