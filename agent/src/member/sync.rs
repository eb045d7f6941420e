//! The agent's beat: a Lease renewed each interval, a status written when it changed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::backoff::jittered;
use super::{MANAGER, Shared, observe};
use crate::access::{self, AGENT};
use crate::api::{ClusterRegistration, ClusterRegistrationStatus, Condition};
use crate::error::{Context as _, Error, Result};

/// A status is written anew after so many intervals, whether it changed or not.
const REFRESH: u32 = 10;
/// How long the hub may take for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How far the clocks of hub and member may be apart.
const CLOCKS: Duration = Duration::from_secs(5);

/// Beats for ever.
pub(super) async fn run(shared: &Shared) {
    let mut written: Option<ClusterRegistrationStatus> = None;
    let mut since = 0_u32;
    let (mut hubs, mut registrations) = (shared.hub.subscribe(), shared.registration.subscribe());
    loop {
        turned(shared);
        let Some(hub) = shared.hub() else {
            // Nobody to tell yet.
            let _ = tokio::time::timeout(Duration::from_secs(10), hubs.changed()).await;
            continue;
        };
        let interval = shared.interval();
        match renew(shared, &hub, interval).await {
            Ok(()) => {
                shared.figures.synced.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                shared.figures.missed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "missed a sync");
            }
        }
        if let Some(registration) = shared.registration() {
            let status = observe::status(shared, &registration).await;
            let same = written.as_ref().is_some_and(|written| observe::same(written, &status));
            if !same || since >= REFRESH {
                match report(shared, &hub, &registration, &status).await {
                    Ok(()) => (written, since) = (Some(status), 0),
                    Err(error) => tracing::warn!(%error, "cannot report"),
                }
            }
            since = since.saturating_add(1);
        }
        let known = shared.registration().is_some();
        tokio::select! {
            () = tokio::time::sleep(jittered(interval)) => {}
            // The first report need not wait for the next beat, nor does the hub wait longer than it says.
            _ = registrations.wait_for(|found| {
                found.as_ref().is_some_and(|found| !known || found.spec.interval() < interval)
            }) => {}
        }
    }
}

/// Notes that the loop still turns.
fn turned(shared: &Shared) {
    let now = u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    shared.figures.turned.store(now, Ordering::Relaxed);
}

/// Renews the Lease, and compares clocks by the time that the hub notes for it.
async fn renew(shared: &Shared, hub: &Client, interval: Duration) -> Result<()> {
    let cluster = &shared.options.cluster;
    let api = Api::<Lease>::namespaced(hub.clone(), &access::namespace(cluster));
    let now = Timestamp::now();
    let patch = json!({ "spec": {
        "holderIdentity": shared.options.identity,
        "leaseDurationSeconds": interval.as_secs().saturating_mul(3),
        "renewTime": MicroTime(now),
    }});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let renewed =
        within("renewing the Lease", api.patch(AGENT, &params, &Patch::Merge(patch))).await?;
    let fields = renewed.metadata.managed_fields.unwrap_or_default();
    let noted = fields.into_iter().filter_map(|field| field.time).map(|time| time.0).max();
    let differs = noted.is_some_and(|noted| noted.duration_since(now).unsigned_abs() > CLOCKS);
    shared.figures.clock_differs.store(differs, Ordering::Relaxed);
    Ok(())
}

/// Writes the agent's part of the status.
pub(super) async fn report(
    shared: &Shared,
    hub: &Client,
    registration: &ClusterRegistration,
    status: &ClusterRegistrationStatus,
) -> Result<()> {
    let mut status = status.clone();
    status.last_sync_time = Some(Time(Timestamp::now()));
    let patch = json!({
        "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration", "status": status,
    });
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let params = PatchParams::apply(MANAGER).force();
    let name = registration.metadata.name.as_deref().unwrap_or_default();
    within("writing the status", api.patch_status(name, &params, &Patch::Apply(patch))).await?;
    shared.figures.reports.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// The conditions that are the agent's: the others are not its to write, nor to write again.
const OWN: [&str; 5] =
    ["ControlPlaneHealthy", "ClockSynced", "CredentialsRotated", "Degraded", "Detached"];

/// The agent's own conditions of a registration, as they are now.
pub(super) fn own_conditions(registration: &ClusterRegistration) -> Vec<Condition> {
    let all = registration.status.iter().flat_map(|status| &status.conditions);
    all.filter(|one| OWN.contains(&one.kind.as_str())).cloned().collect()
}

/// A condition about this cluster.
pub(super) fn condition(
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    registration: &ClusterRegistration,
) -> Condition {
    Condition::new(kind, holds, reason, message, registration.metadata.generation)
}

/// An answer of the hub, within its limit.
pub(super) async fn within<T>(
    what: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(answered) => answered.context(|| what.to_owned()),
        Err(_) => Err(Error::Timeout(what.to_owned(), ANSWER)),
    }
}
