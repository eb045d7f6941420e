//! The agent's part of the registration's status: which conditions are its own, and how it is written.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::MANAGER;
use super::shared::{CALL_TIMEOUT, Shared};
use crate::api::{ClusterRegistration, ClusterRegistrationStatus, Condition};
use crate::apply::apply_status;
use crate::error::{Result, within};

/// The types of the agent's conditions. The others are the hub's, and the agent must not write them.
const OWN: [&str; 5] =
    ["ControlPlaneHealthy", "ClockSynced", "CredentialsRotated", "Degraded", "Detached"];

/// The agent's own conditions of a registration, as they are now.
pub(super) fn own_conditions(registration: &ClusterRegistration) -> Vec<Condition> {
    let all = registration.conditions().iter();
    all.filter(|one| OWN.contains(&one.kind.as_str())).cloned().collect()
}

/// A condition of this registration, as of its current generation.
pub(super) fn condition(
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    registration: &ClusterRegistration,
) -> Condition {
    Condition::new(kind, holds, reason, message, registration.metadata.generation)
}

/// Whether two reports say the same; how long `/readyz` took does not count.
pub(super) fn same(one: &ClusterRegistrationStatus, other: &ClusterRegistrationStatus) -> bool {
    let plain = |status: &ClusterRegistrationStatus| {
        let mut status = status.clone();
        status.last_sync_time = None;
        if let Some(health) = &mut status.health {
            health.api_latency_millis = None;
        }
        let conditions = std::mem::take(&mut status.conditions);
        (status, conditions)
    };
    let ((one, conditions), (other, others)) = (plain(one), plain(other));
    one == other
        && conditions.len() == others.len()
        && conditions.iter().zip(&others).all(|(one, other)| one.same(other))
}

/// Writes the agent's part of the status.
pub(super) async fn write(
    shared: &Shared,
    hub: &Client,
    registration: &ClusterRegistration,
    status: &ClusterRegistrationStatus,
) -> Result<()> {
    let status = ClusterRegistrationStatus {
        last_sync_time: Some(Time(Timestamp::now())),
        ..status.clone()
    };
    let (api, name) = (Api::<ClusterRegistration>::all(hub.clone()), registration.name_any());
    let written = apply_status(&api, &name, MANAGER, &status);
    within(CALL_TIMEOUT, "writing the registration's status", written).await?;
    shared.metrics.reports.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
