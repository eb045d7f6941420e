//! One look at one cluster: its requests are answered, its life is judged, its rights are taken away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::json;

use super::{Life, MANAGER, Shared, Verdict, count, judge, life, lock};
use crate::access::{self, AGENT};
use crate::api::{
    BOOTSTRAP_USED, ClusterRegistration, Condition, ConditionStatus, CredentialType, FINALIZER,
    clip, find, put,
};
use crate::apply::{Applier, dynamic};
use crate::error::{Context as _, Error, Result};
use crate::registration;

/// How long nobody is judged while the hub's own API server does not answer.
const BLIND: Duration = Duration::from_secs(2);

/// Looks once, and says when to look again.
pub(super) async fn reconcile(
    registration: Arc<ClusterRegistration>,
    shared: Arc<Shared>,
) -> Result<Action> {
    count(&shared.figures.reconciled);
    let cluster = registration.name_any();
    let next = if registration.metadata.deletion_timestamp.is_some() {
        leave(&shared, &cluster, &registration).await?
    } else {
        let asked = answer(&shared, &cluster, &registration).await?;
        let lives = judge_life(&shared, &cluster, &registration).await?;
        [asked, lives].into_iter().flatten().min()
    };
    lock(&shared.failures).remove(&cluster);
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// Answers a cluster's certificate requests, if it has any.
async fn answer(
    shared: &Shared,
    cluster: &str,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    // Taken before the look, so that a request that comes meanwhile is not forgotten.
    if !lock(&shared.asking).remove(cluster) {
        return Ok(None);
    }
    let api = Api::<CertificateSigningRequest>::all(shared.client.clone());
    let mut next = None;
    for renewal in [false, true] {
        let name = access::request_name(cluster, renewal);
        let found = api.get_opt(&name).await.context(|| format!("reading the request {name}"));
        let answered = match found {
            Ok(Some(request)) => answer_one(shared, &api, &request, registration).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match answered {
            Ok(None) => {}
            Ok(again) => next = next.max(again),
            Err(error) => {
                lock(&shared.asking).insert(cluster.to_owned());
                return Err(error);
            }
        }
    }
    if next.is_some() {
        lock(&shared.asking).insert(cluster.to_owned());
    }
    Ok(next)
}

/// Answers one request; says when to look at it again, if it is not settled.
async fn answer_one(
    shared: &Shared,
    api: &Api<CertificateSigningRequest>,
    request: &CertificateSigningRequest,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    let (name, cluster) = (request.name_any(), registration.name_any());
    let status = request.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let has = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    if status.certificate.is_some() || has("Denied").is_some() || has("Failed").is_some() {
        return Ok(None);
    }
    if let Some(approved) = has("Approved") {
        let since = approved.last_update_time.as_ref().map_or_else(Timestamp::now, |time| time.0);
        let waited = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
        let tokens = registration.spec.credential.kind == CredentialType::Token;
        let left = shared.options.issue_limit.saturating_sub(waited);
        if !tokens && !left.is_zero() {
            return Ok(Some(left));
        }
        let binding = dynamic(&access::token_binding(&cluster))?;
        Applier::new(shared.client.clone(), MANAGER).apply(&binding).await?;
        tracing::info!(cluster, "was approved and got no certificate: may make tokens");
        return Ok(None);
    }
    let (kind, counter, message) = match judge(request, registration) {
        Verdict::First => {
            let used = request.uid().unwrap_or_default();
            use_up(shared, registration, &used).await?;
            ("Approved", &shared.figures.approved, "the cluster's first certificate".to_owned())
        }
        Verdict::Renewal => {
            ("Approved", &shared.figures.approved, "the cluster renews its certificate".to_owned())
        }
        Verdict::Deny(why) => ("Denied", &shared.figures.denied, why),
    };
    tracing::info!(request = name, verdict = kind, message);
    let condition = json!({
        "type": kind, "status": "True", "reason": "ClusterRegistration",
        "message": clip(&message, 512), "lastUpdateTime": Timestamp::now().to_string(),
    });
    // With the version that was judged: nobody can exchange the request meanwhile.
    let patch = json!({
        "metadata": { "resourceVersion": request.resource_version() },
        "status": { "conditions": [condition] },
    });
    let written = api.patch_approval(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    written.context(|| format!("answering the request {name}"))?;
    count(counter);
    Ok((kind == "Approved").then_some(shared.options.issue_limit))
}

/// Writes down which request the bootstrap credential was used for, before that is approved. Of two
/// requests, the second one finds the registration changed.
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
    written.context(|| format!("marking the credential of {name} as used")).map(|_| ())
}

/// Judges whether a cluster lives and writes what changed.
async fn judge_life(
    shared: &Shared,
    cluster: &str,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    if shared.blind.load(Ordering::Relaxed) {
        return Ok(Some(BLIND));
    }
    let interval = registration.spec.interval();
    let look = || life(lock(&shared.clusters).get(cluster), interval, Instant::now());
    let mut found = look();
    if found == Life::Unknown && look_closer(shared, cluster).await? {
        found = look();
    }
    let mut conditions =
        registration.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let before = conditions.clone();
    let is = |kind: &str| find(&before, kind).is_some_and(|c| c.status == ConditionStatus::True);
    // Whoever beats without having used the bootstrap credential is the agent that it was made to replace.
    if !is("Joined") && !registration.annotations().contains_key(BOOTSTRAP_USED) {
        found = Life::NotJoined;
    }
    if found != Life::NotJoined && !is("Joined") {
        // Whoever joined has no more use for the credential that it joined with.
        if !lease_renewed(shared, cluster).await? {
            return Ok(Some(BLIND));
        }
        registration::end_bootstrap(&shared.client, cluster).await?;
    }
    let generation = registration.metadata.generation;
    let mut set = |kind: &str, status: ConditionStatus, reason: &str, message: &str| {
        put(&mut conditions, Condition::new(kind, status, reason, message, generation))
    };
    let mut changed = if registration.spec.accepted {
        set("Accepted", ConditionStatus::True, "Accepted", "")
    } else {
        set("Accepted", ConditionStatus::False, "NotAccepted", "spec.accepted is false")
    };
    changed |= match found {
        Life::NotJoined => {
            set("Joined", ConditionStatus::False, "NotJoined", "no agent has come yet")
        }
        _ => set("Joined", ConditionStatus::True, "Joined", ""),
    };
    let (next, ready) = match found {
        Life::Ready(next) => {
            changed |= set("Ready", ConditionStatus::True, "Synced", "");
            (Some(next), true)
        }
        Life::Unknown => {
            let message = format!("no sync for three intervals of {}s", interval.as_secs());
            changed |= set("Ready", ConditionStatus::Unknown, "SyncMissed", &message);
            (None, false)
        }
        Life::NotJoined => {
            changed |= set("Ready", ConditionStatus::Unknown, "NotJoined", "no agent has come yet");
            (None, false)
        }
        // What was said before stands, until there is something to say.
        Life::Undecided(next) => (Some(next), false),
    };
    if changed {
        conditions.retain(|one| matches!(one.kind.as_str(), "Accepted" | "Joined" | "Ready"));
        let written =
            registration::write_conditions(&shared.client, cluster, MANAGER, &conditions).await;
        written.context(|| format!("writing the status of {cluster}"))?;
        count(&shared.figures.writes);
    }
    if let Some(seen) = lock(&shared.clusters).get_mut(cluster) {
        seen.ready = ready;
    }
    Ok(next)
}

/// Asks the API server itself before a cluster is called silent: the watch may be the one that is.
async fn look_closer(shared: &Shared, cluster: &str) -> Result<bool> {
    let lease = lease(shared, cluster).await?;
    let renewed = lease.and_then(|lease| lease.spec?.renew_time).map(|time| time.0);
    let mut clusters = lock(&shared.clusters);
    Ok(clusters.get_mut(cluster).is_some_and(|seen| seen.look(renewed, Instant::now())))
}

async fn lease_renewed(shared: &Shared, cluster: &str) -> Result<bool> {
    let lease = lease(shared, cluster).await?;
    Ok(lease.and_then(|lease| lease.spec?.renew_time).is_some())
}

async fn lease(shared: &Shared, cluster: &str) -> Result<Option<Lease>> {
    let api = Api::<Lease>::namespaced(shared.client.clone(), &access::namespace(cluster));
    api.get_opt(AGENT).await.context(|| format!("reading the Lease of {cluster}"))
}

/// Takes a cluster's rights away, once its agent has cleaned up or there never was one.
async fn leave(
    shared: &Shared,
    cluster: &str,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    let conditions =
        registration.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let is = |kind: &str| find(conditions, kind).is_some_and(|c| c.status == ConditionStatus::True);
    let renewed = lock(&shared.clusters).get(cluster).is_some_and(|seen| seen.renewed.is_some());
    if !is("Detached") && (is("Joined") || renewed) {
        tracing::info!(cluster, "is being deleted: waiting until its agent has cleaned up");
        return Ok(None);
    }
    if !registration.finalizers().iter().any(|one| one == FINALIZER) {
        return Ok(None);
    }
    registration::end_access(&shared.client, cluster).await?;
    registration::release(&shared.client, registration).await?;
    lock(&shared.clusters).remove(cluster);
    lock(&shared.asking).remove(cluster);
    tracing::info!(cluster, "has left");
    Ok::<_, Error>(None)
}
