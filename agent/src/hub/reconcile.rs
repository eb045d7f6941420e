//! One look at one cluster: its certificate requests are answered, its conditions written; once it leaves,
//! its rights are removed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::controller::Action;

use super::MANAGER;
use super::liveness::{Liveness, liveness};
use super::requests::answer;
use super::shared::{Shared, count, lock};
use crate::access::{self, AGENT};
use crate::api::{
    BOOTSTRAP_USED, ClusterRegistration, Condition, ConditionStatus, FINALIZER, is_true, put,
};
use crate::error::{Context as _, Result};
use crate::registration;

/// How soon to look again while nobody can be judged, since Leases cannot be watched.
const BLIND: Duration = Duration::from_secs(2);

/// The types of conditions that are written here; the others are adapters' and the agent's.
const OWN: [&str; 3] = ["Accepted", "Joined", "Ready"];

/// Looks once, and says when to look again.
pub(super) async fn reconcile(
    registration: Arc<ClusterRegistration>,
    shared: Arc<Shared>,
) -> Result<Action> {
    count(&shared.metrics.reconciled);
    let cluster = registration.name_any();
    let next = if registration.is_being_deleted() {
        leave(&shared, &cluster, &registration).await?;
        None
    } else {
        let requests = answer(&shared, &cluster, &registration).await?;
        let heartbeat = judge(&shared, &cluster, &registration).await?;
        [requests, heartbeat].into_iter().flatten().min()
    };
    shared.failures.clear(&cluster);
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// Judges whether a cluster is alive, and writes its conditions if they have changed. Returns when to judge
/// again, if no heartbeat is seen before.
async fn judge(
    shared: &Shared,
    cluster: &str,
    registration: &ClusterRegistration,
) -> Result<Option<Duration>> {
    if shared.blind.load(Ordering::Relaxed) {
        return Ok(Some(BLIND));
    }
    let found = seen(shared, cluster, registration).await?;
    if found != Liveness::NotJoined && !is_true(registration.conditions(), "Joined") {
        if !lease_renewed(shared, cluster).await? {
            return Ok(Some(BLIND));
        }
        // A cluster that has joined has no more use for the credential that it joined with.
        registration::end_bootstrap(&shared.client, cluster).await?;
    }
    if let Some(conditions) = changed_conditions(registration, found) {
        let written =
            registration::write_conditions(&shared.client, cluster, MANAGER, &conditions).await;
        written.context(|| format!("writing the status of {cluster}"))?;
        count(&shared.metrics.writes);
    }
    if let Some(seen) = lock(&shared.clusters).get_mut(cluster) {
        seen.ready = matches!(found, Liveness::Ready(_));
    }
    Ok(match found {
        Liveness::Ready(next) | Liveness::Undecided(next) => Some(next),
        Liveness::NotJoined | Liveness::Unknown => None,
    })
}

/// Whether the cluster is alive, by what was seen of its Lease.
async fn seen(
    shared: &Shared,
    cluster: &str,
    registration: &ClusterRegistration,
) -> Result<Liveness> {
    // Heartbeats before the bootstrap credential was used are of the agent that is to be replaced.
    let joined = is_true(registration.conditions(), "Joined");
    if !joined && !registration.annotations().contains_key(BOOTSTRAP_USED) {
        return Ok(Liveness::NotJoined);
    }
    let interval = registration.spec.interval();
    let look = || liveness(lock(&shared.clusters).get(cluster), interval, Instant::now());
    match look() {
        // Before a cluster is called silent, the API server is asked: the watch may be what is silent.
        Liveness::Unknown if refresh(shared, cluster).await? => Ok(look()),
        found => Ok(found),
    }
}

/// The controller's conditions of a registration whose cluster is `found` so; `None` if they say so already.
fn changed_conditions(
    registration: &ClusterRegistration,
    found: Liveness,
) -> Option<Vec<Condition>> {
    let mut conditions = registration.conditions().to_vec();
    let generation = registration.metadata.generation;
    let mut set = |kind: &str, status: ConditionStatus, reason: &str, message: &str| {
        put(&mut conditions, Condition::new(kind, status, reason, message, generation))
    };
    const NO_AGENT: &str = "no agent has sent a heartbeat yet";
    let mut changed = match registration.spec.accepted {
        true => set("Accepted", ConditionStatus::True, "Accepted", ""),
        false => set("Accepted", ConditionStatus::False, "NotAccepted", "spec.accepted is false"),
    };
    changed |= match found {
        Liveness::NotJoined => set("Joined", ConditionStatus::False, "NotJoined", NO_AGENT),
        _ => set("Joined", ConditionStatus::True, "Joined", ""),
    };
    changed |= match found {
        Liveness::Ready(_) => set("Ready", ConditionStatus::True, "Synced", ""),
        Liveness::Unknown => {
            let interval = registration.spec.interval().as_secs();
            let message = format!("no heartbeat for three intervals of {interval}s");
            set("Ready", ConditionStatus::Unknown, "SyncMissed", &message)
        }
        Liveness::NotJoined => set("Ready", ConditionStatus::Unknown, "NotJoined", NO_AGENT),
        // The condition stays until the cluster can be judged.
        Liveness::Undecided(_) => false,
    };
    conditions.retain(|one| OWN.contains(&one.kind.as_str()));
    changed.then_some(conditions)
}

/// Reads a cluster's Lease. Returns whether it was renewed since the hub last saw it.
async fn refresh(shared: &Shared, cluster: &str) -> Result<bool> {
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

/// Removes a cluster's rights, once its agent has cleaned up or if there never was one.
async fn leave(shared: &Shared, cluster: &str, registration: &ClusterRegistration) -> Result<()> {
    let is = |kind| is_true(registration.conditions(), kind);
    let renewed = lock(&shared.clusters).get(cluster).is_some_and(|seen| seen.renewed.is_some());
    if !is("Detached") && (is("Joined") || renewed) {
        tracing::info!(cluster, "is being deleted: waiting until its agent has cleaned up");
        return Ok(());
    }
    if !registration.finalizers().iter().any(|one| one == FINALIZER) {
        return Ok(());
    }
    registration::end_access(&shared.client, cluster).await?;
    registration::release(&shared.client, registration).await?;
    lock(&shared.clusters).remove(cluster);
    lock(&shared.asking).remove(cluster);
    tracing::info!(cluster, "has left");
    Ok(())
}
