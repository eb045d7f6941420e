//! The agent's heartbeat: it renews its Lease each interval, and writes the status when that has changed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::shared::{CALL_TIMEOUT, Shared};
use super::{MANAGER, observe, report};
use crate::access::{self, AGENT};
use crate::api::ClusterRegistrationStatus;
use crate::backoff::jittered;
use crate::error::{Result, within};

/// After this many intervals the status is written even if it has not changed.
const REFRESH: u32 = 10;
/// How long the loop waits for a credential at a time, so that it is seen to turn.
const CREDENTIAL_WAIT: Duration = Duration::from_secs(10);
/// How far the clocks of hub and member may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// Sends heartbeats until it is dropped.
pub(super) async fn run(shared: &Shared) {
    let mut written: Option<ClusterRegistrationStatus> = None;
    let mut since = 0_u32;
    let (mut hubs, mut registrations) = (shared.hub.subscribe(), shared.registration.subscribe());
    loop {
        shared.turned();
        let Some(hub) = shared.hub() else {
            let _ = tokio::time::timeout(CREDENTIAL_WAIT, hubs.changed()).await;
            continue;
        };
        let interval = shared.interval();
        let heartbeats = match renew(shared, &hub, interval).await {
            Ok(()) => &shared.metrics.heartbeats,
            Err(error) => {
                tracing::warn!(%error, "missed a heartbeat");
                &shared.metrics.missed_heartbeats
            }
        };
        heartbeats.fetch_add(1, Ordering::Relaxed);
        if let Some(registration) = shared.registration() {
            let status = observe::status(shared, &registration).await;
            let same = written.as_ref().is_some_and(|written| report::same(written, &status));
            if !same || since >= REFRESH {
                match report::write(shared, &hub, &registration, &status).await {
                    Ok(()) => (written, since) = (Some(status), 0),
                    Err(error) => tracing::warn!(%error, "cannot write the status"),
                }
            }
            since = since.saturating_add(1);
        }
        let known = shared.registration().is_some();
        tokio::select! {
            () = tokio::time::sleep(jittered(interval)) => {}
            // The first report does not wait for the next heartbeat, and a shorter interval counts at once.
            _ = registrations.wait_for(|found| {
                found.as_ref().is_some_and(|found| !known || found.spec.interval() < interval)
            }) => {}
        }
    }
}

/// Renews the Lease, and compares this cluster's clock with the time at which the hub says it was renewed.
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
    let patch = Patch::Merge(patch);
    let renewed = api.patch(AGENT, &params, &patch);
    let renewed = within(CALL_TIMEOUT, "renewing the Lease", renewed).await?;
    let fields = renewed.metadata.managed_fields.unwrap_or_default();
    let hub_time = fields.into_iter().filter_map(|field| field.time).map(|time| time.0).max();
    let differs = hub_time.is_some_and(|time| time.duration_since(now).unsigned_abs() > CLOCK_SKEW);
    shared.metrics.clock_differs.store(differs, Ordering::Relaxed);
    Ok(())
}
