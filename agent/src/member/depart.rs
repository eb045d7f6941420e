//! Leaving: what the agent applied goes or stays as its policy says, the hub is told, the agent goes.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};

use super::backoff::Backoff;
use super::inventory::Inventories;
use super::sync::{condition, report};
use super::{Keep, Shared};
use crate::error::{Context as _, Error, Result};

/// How often in a row, ever later, the hub must refuse before the agent goes without telling it.
const REFUSALS: u32 = 6;

/// Cleans up, tells the hub, and removes the agent.
pub(super) async fn depart(shared: &Shared, keep: &Keep) {
    tracing::info!("the registration is being deleted: cleans up");
    let left = objects(shared).await;
    // From here on a restart goes straight to the end: the hub may have taken the rights away.
    let mut backoff = Backoff::new();
    while let Err(error) = keep.depart().await {
        backoff.wait(&error).await;
    }
    let (mut backoff, mut refusals) = (Backoff::new(), 0);
    while let Err(error) = detached(shared, &left).await {
        // Rights that are gone mean that somebody used force; an API server that has just started
        // refuses everybody for a moment.
        let refused = matches!(error.code(), Some(401 | 403 | 404));
        refusals = if refused { refusals + 1 } else { 0 };
        if refusals >= REFUSALS {
            break;
        }
        backoff.wait(&error).await;
    }
    finish(shared).await;
}

/// Removes the agent's own namespace, and with it all that it owns.
pub(super) async fn finish(shared: &Shared) {
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
    let (Some(hub), Some(registration)) = (shared.hub(), shared.registration()) else {
        return Err(Error::Refused("the hub is not known yet".to_owned()));
    };
    let mut status = registration.status.clone().unwrap_or_default();
    status.conditions.retain(|one| !matches!(one.kind.as_str(), "Accepted" | "Joined" | "Ready"));
    let told = match left {
        [] => String::new(),
        left => format!("left behind: {}", left.join("; ")),
    };
    let new = condition("Detached", true, "CleanedUp", &told, &registration);
    crate::api::put(&mut status.conditions, new);
    report(shared, &hub, &registration, &status).await
}
