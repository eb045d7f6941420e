//! Leaving: what the agent applied goes or stays as its policy says, the hub is told, the agent goes.

use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};

use super::backoff::Backoff;
use super::inventory::Inventories;
use super::sync::{condition, own_conditions, report, within};
use super::{Keep, Shared};
use crate::api::{ClusterRegistration, ConditionStatus, find, put};
use crate::error::{Context as _, Error, Result};

/// How often in a row, ever later, the hub must refuse before the agent goes without telling it.
const REFUSALS: u32 = 6;

/// Cleans up, tells the hub, and removes the agent.
pub(super) async fn depart(shared: &Shared, keep: &Keep) {
    tracing::info!("the registration is being deleted: cleans up");
    shared.figures.departs.store(true, Ordering::Relaxed);
    let left = objects(shared).await;
    // From here on a restart goes on with telling the hub.
    let mut backoff = Backoff::new();
    while let Err(error) = keep.depart().await {
        backoff.wait(&error).await;
    }
    tell(shared, keep, &left).await;
    finish(shared).await;
}

/// Goes on after a restart: everything is cleaned up, and the hub may not know it yet.
pub(super) async fn resume(shared: &Shared, keep: &Keep) {
    shared.figures.departs.store(true, Ordering::Relaxed);
    tell(shared, keep, &[]).await;
    finish(shared).await;
}

/// Tells the hub that everything is cleaned up. Not for ever, if the hub has taken the rights away or the
/// credential has run out: no certificate is renewed for who leaves, though a token is.
async fn tell(shared: &Shared, keep: &Keep, left: &[String]) {
    let told = async {
        let (mut backoff, mut refusals) = (Backoff::new(), 0);
        while let Err(error) = detached(shared, left).await {
            // Rights that are gone mean that somebody used force; an API server that has just started
            // refuses everybody for a moment.
            let refused = matches!(error.code(), Some(401 | 403)) || shared.hub().is_none();
            refusals = if refused { refusals + 1 } else { 0 };
            if refusals >= REFUSALS {
                break;
            }
            backoff.wait(&error).await;
        }
    };
    tokio::select! {
        () = told => {}
        () = super::identity::run(shared, keep) => {}
    }
}

/// Removes the agent's own namespace, and with it all that it owns.
async fn finish(shared: &Shared) {
    let api = Api::<Namespace>::all(shared.member.clone());
    let mut backoff = Backoff::new();
    loop {
        let deleted = api.delete(&shared.options.namespace, &DeleteParams::background()).await;
        let deleted = deleted.context(|| "removing the agent's own namespace".to_owned());
        match deleted {
            Err(error) if !matches!(error.code(), Some(404 | 409)) => backoff.wait(&error).await,
            _ => return,
        }
    }
}

/// Does with the objects of all sets what their policies say; what could not be deleted is told.
async fn objects(shared: &Shared) -> Vec<String> {
    let inventories = Inventories::new(shared);
    let sets = match inventories.sets().await {
        Ok(sets) => sets,
        Err(error) => return vec![error.to_string()],
    };
    let mut left = Vec::new();
    for set in sets {
        match inventories.forget(&set).await {
            Ok(why) => left.extend(why),
            Err(error) => left.push(error.to_string()),
        }
    }
    left
}

async fn detached(shared: &Shared, left: &[String]) -> Result<()> {
    let Some(hub) = shared.hub() else {
        return Err(Error::Refused("there is no credential for the hub yet".to_owned()));
    };
    let (api, name) = (Api::<ClusterRegistration>::all(hub.clone()), &shared.options.cluster);
    let asked = "reading the registration";
    let found = within(asked, api.get_opt(name)).await?;
    // It may be gone, and another cluster may have its name by now.
    let ours = |found: &ClusterRegistration| {
        found.metadata.deletion_timestamp.is_some() && shared.is_own(found)
    };
    let Some(registration) = found.filter(ours) else { return Ok(()) };
    let mut status = registration.status.clone().unwrap_or_default();
    status.conditions = own_conditions(&registration);
    if find(&status.conditions, "Detached").is_some_and(|one| one.status == ConditionStatus::True) {
        return Ok(());
    }
    let told = match left {
        [] => String::new(),
        left => format!("left behind: {}", left.join("; ")),
    };
    put(&mut status.conditions, condition("Detached", true, "CleanedUp", &told, &registration));
    report(shared, &hub, &registration, &status).await
}
