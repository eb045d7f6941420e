//! The agent's end: it deletes or leaves what it applied, as each set's policy says, reports that to the
//! hub, and removes itself.

use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};

use super::CredentialStore;
use super::inventory::Inventories;
use super::report::{self, condition, own_conditions};
use super::shared::{CALL_TIMEOUT, Shared};
use crate::api::{ClusterRegistration, is_true, put};
use crate::backoff::Backoff;
use crate::error::{Context as _, Error, Result, within};

/// After so many refusals in a row the agent removes itself without a report to the hub.
const REFUSALS: u32 = 6;

/// Cleans up, reports that to the hub, and removes the agent.
pub(super) async fn depart(shared: &Shared, store: &CredentialStore) {
    tracing::info!("the registration is being deleted: cleaning up");
    shared.metrics.departing.store(true, Ordering::Relaxed);
    let left = clean_up(shared).await;
    // From here on a restarted agent goes on with the report.
    let mut backoff = Backoff::slow();
    while let Err(error) = store.depart().await {
        backoff.wait(&error).await;
    }
    report_to_hub(shared, store, &left).await;
    remove_itself(shared).await;
}

/// Goes on after a restart: everything is cleaned up, and the hub may not know it yet.
pub(super) async fn resume(shared: &Shared, store: &CredentialStore) {
    shared.metrics.departing.store(true, Ordering::Relaxed);
    report_to_hub(shared, store, &[]).await;
    remove_itself(shared).await;
}

/// Reports to the hub that everything is cleaned up, and renews the credential meanwhile. Gives up where
/// the hub keeps refusing: its rights are gone, or the credential has expired, since the hub renews no
/// certificate for a registration that is being deleted.
async fn report_to_hub(shared: &Shared, store: &CredentialStore, left: &[String]) {
    let reported = async {
        let (mut backoff, mut refusals) = (Backoff::slow(), 0);
        while let Err(error) = detached(shared, left).await {
            // One refusal proves nothing: an API server that has just started refuses everybody.
            let refused = matches!(error.code(), Some(401 | 403)) || shared.hub().is_none();
            refusals = if refused { refusals + 1 } else { 0 };
            if refusals >= REFUSALS {
                break;
            }
            backoff.wait(&error).await;
        }
    };
    tokio::select! {
        () = reported => {}
        () = super::identity::run(shared, store) => {}
    }
}

/// Removes the agent's own namespace, and with it everything that the namespace owns.
async fn remove_itself(shared: &Shared) {
    let api = Api::<Namespace>::all(shared.member.clone());
    let mut backoff = Backoff::slow();
    loop {
        let deleted = api.delete(&shared.options.namespace, &DeleteParams::background()).await;
        let deleted = deleted.context(|| "removing the agent's own namespace".to_owned());
        match deleted {
            Err(error) if !matches!(error.code(), Some(404 | 409)) => backoff.wait(&error).await,
            _ => return,
        }
    }
}

/// Deletes or leaves the objects of all sets, as their policies say. Returns what could not be deleted.
async fn clean_up(shared: &Shared) -> Vec<String> {
    let inventories = Inventories::new(shared);
    let sets = match inventories.sets().await {
        Ok(sets) => sets,
        Err(error) => return vec![error.to_string()],
    };
    let mut left = Vec::new();
    for set in sets {
        match inventories.drop_set(&set).await {
            Ok(failures) => left.extend(failures),
            Err(error) => left.push(error.to_string()),
        }
    }
    left
}

/// Writes the condition `Detached`, if the registration is still there and does not have it yet.
async fn detached(shared: &Shared, left: &[String]) -> Result<()> {
    let Some(hub) = shared.hub() else {
        return Err(Error::Refused("there is no credential for the hub yet".to_owned()));
    };
    let (api, name) = (Api::<ClusterRegistration>::all(hub.clone()), &shared.options.cluster);
    let found = within(CALL_TIMEOUT, "reading the registration", api.get_opt(name)).await?;
    // It may be gone, and another cluster may be registered by its name.
    let ours = |found: &ClusterRegistration| found.is_being_deleted() && shared.is_own(found);
    let Some(registration) = found.filter(ours) else { return Ok(()) };
    let mut status = registration.status.clone().unwrap_or_default();
    status.conditions = own_conditions(&registration);
    if is_true(&status.conditions, "Detached") {
        return Ok(());
    }
    let message = match left {
        [] => String::new(),
        left => format!("left behind: {}", left.join("; ")),
    };
    put(&mut status.conditions, condition("Detached", true, "CleanedUp", &message, &registration));
    report::write(shared, &hub, &registration, &status).await
}
