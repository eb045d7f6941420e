//! `ManifestSet`s: the hub's objects, applied here, and what came of each.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::inventory::{Entry, Inventories, Inventory};
use super::{MANAGER, Shared};
use crate::access;
use crate::api::{
    Capability, Condition, ManifestSet, ManifestSetStatus, ObjectResult, Outcome, clip,
};
use crate::apply::Applier;
use crate::error::{Context as _, Error, Result};

/// All sets are applied anew after so many intervals, against drift.
const RESYNC: u32 = 10;

/// Applies for ever, while the registration lets it.
pub(super) async fn run(shared: &Shared) {
    let mut hubs = shared.hub.subscribe();
    let mut registrations = shared.registration.subscribe();
    loop {
        let hub = hubs.borrow_and_update().as_ref().map(|hub| hub.client.clone());
        let allowed = allowed(shared);
        let (true, Some(hub)) = (allowed, hub) else {
            tokio::select! {
                _ = hubs.changed() => {}
                _ = registrations.changed() => {}
            }
            continue;
        };
        tokio::select! {
            () = follow(shared, &hub) => {}
            _ = hubs.changed() => {}
        }
    }
}

/// Whether the registration is this cluster's and lets the agent apply anything.
fn allowed(shared: &Shared) -> bool {
    shared.registration().is_some_and(|found| {
        let may = [Capability::ApplyManifests, Capability::Policies];
        shared.is_own(&found)
            && found.metadata.deletion_timestamp.is_none()
            && may.iter().any(|one| found.spec.capabilities.contains(one))
    })
}

/// Applies all sets once and each that changes, until it is time to apply all again, or the capability is
/// taken away.
async fn follow(shared: &Shared, hub: &Client) {
    let namespace = access::namespace(&shared.options.cluster);
    let api = Api::<ManifestSet>::namespaced(hub.clone(), &namespace);
    let inventories = Inventories::new(shared);
    let mut applier = Applier::new(shared.member.clone(), MANAGER);
    let mut events = watcher(api.clone(), watcher::Config::default()).default_backoff().boxed();
    // Which generation of each set has been applied since this began.
    let mut done: HashMap<String, Option<i64>> = HashMap::new();
    let mut listed = HashSet::new();
    // Never in the midst of a list, whose last sets would wait for ever.
    let mut again = None;
    loop {
        let resync = async {
            match again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = events.next() => event,
            () = resync => return,
        };
        let Some(event) = event.filter(|_| allowed(shared)) else { return };
        let outcome = match event {
            Ok(Event::Init) => {
                listed.clear();
                Ok(())
            }
            Ok(Event::InitApply(set)) => {
                listed.insert(set.name_any());
                settle(shared, &api, &inventories, &mut applier, &mut done, &set).await
            }
            Ok(Event::Apply(set)) => {
                settle(shared, &api, &inventories, &mut applier, &mut done, &set).await
            }
            Ok(Event::InitDone) => {
                let interval = shared.interval().saturating_mul(RESYNC);
                again = Some(tokio::time::Instant::now() + super::backoff::jittered(interval));
                done.retain(|name, _| listed.contains(name));
                orphans(&inventories, &listed).await
            }
            Ok(Event::Delete(set)) => {
                done.remove(&set.name_any());
                drop_set(&inventories, &set.name_any()).await
            }
            Err(error) => {
                tracing::warn!(%error, "cannot watch the manifest sets");
                Ok(())
            }
        };
        if let Err(error) = outcome {
            // The next turn applies everything again.
            tracing::warn!(%error, "a manifest set is not as it should be");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Sets that went while nobody looked.
async fn orphans(inventories: &Inventories, listed: &HashSet<String>) -> Result<()> {
    for set in inventories.sets().await? {
        if !listed.contains(&set) {
            drop_set(inventories, &set).await?;
        }
    }
    Ok(())
}

async fn drop_set(inventories: &Inventories, set: &str) -> Result<()> {
    let left = inventories.forget(set).await?;
    tracing::info!(set, ?left, "a manifest set is gone");
    Ok(())
}

/// Brings one set about, unless this generation of it was already, and reports.
async fn settle(
    shared: &Shared,
    api: &Api<ManifestSet>,
    inventories: &Inventories,
    applier: &mut Applier,
    done: &mut HashMap<String, Option<i64>>,
    set: &ManifestSet,
) -> Result<()> {
    let (name, generation) = (set.name_any(), set.metadata.generation);
    if set.metadata.deletion_timestamp.is_some() || done.get(&name) == Some(&generation) {
        return Ok(());
    }
    let mut status = apply(shared, inventories, applier, set).await?;
    status.observed_generation = generation;
    let before = set.status.clone().unwrap_or_default();
    for condition in &mut status.conditions {
        let old = before.conditions.iter().find(|one| one.kind == condition.kind);
        if let Some(old) = old.filter(|old| old.status == condition.status) {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
    if status != before {
        let patch = json!({
            "apiVersion": "mcp.platform/v1", "kind": "ManifestSet", "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        let written = api.patch_status(&name, &params, &Patch::Apply(patch)).await;
        written.context(|| format!("reporting on {name}"))?;
    }
    done.insert(name, generation);
    Ok(())
}

/// Applies a set's objects and prunes what it no longer holds.
async fn apply(
    shared: &Shared,
    inventories: &Inventories,
    applier: &mut Applier,
    set: &ManifestSet,
) -> Result<ManifestSetStatus> {
    let name = set.name_any();
    let mut objects = Vec::new();
    for manifest in &set.spec.manifests {
        objects.push(serde_json::from_value::<DynamicObject>(manifest.0.clone()));
    }
    let mut wanted = Vec::new();
    for entry in objects.iter().flatten().filter_map(Entry::of) {
        wanted.push(entry.placed(applier).await);
    }
    let mut before = Vec::new();
    for entry in inventories.load(&name).await?.objects {
        before.push(entry.placed(applier).await);
    }
    let among = |entry: &Entry, all: &[Entry]| all.iter().any(|one| one.is(entry));
    let surplus: Vec<Entry> = before.iter().filter(|one| !among(one, &wanted)).cloned().collect();
    // Noted before anything is applied: whatever happens now, nothing is forgotten.
    let deletion = set.spec.deletion_policy;
    let all = wanted.iter().chain(&surplus).cloned().collect();
    inventories.save(&name, &Inventory { deletion, objects: all }).await?;
    let (mut results, mut kept) = (Vec::new(), Vec::new());
    for object in objects {
        let (entry, applied) = match object {
            Ok(object) => {
                let applied = applier.apply(&object).await;
                let entry = match Entry::of(&object) {
                    Some(entry) => Some(entry.placed(applier).await),
                    None => None,
                };
                (entry, applied)
            }
            Err(error) => (None, Err(Error::Invalid(format!("this is no object: {error}")))),
        };
        // What never came about is nothing to take away later.
        let there = applied.is_ok() || entry.as_ref().is_some_and(|one| among(one, &before));
        kept.extend(entry.clone().filter(|_| there));
        results.push(result(entry, applied.map(|_| Outcome::Applied), Outcome::Failed));
    }
    if set.spec.prune && !surplus.is_empty() {
        let others = inventories.others(&name).await?;
        for entry in surplus.into_iter().rev().filter(|entry| !among(entry, &others)) {
            if let Err(error) = entry.delete(applier).await {
                results.push(result(Some(entry.clone()), Err(error), Outcome::Stuck));
                kept.push(entry);
            }
        }
    }
    inventories.save(&name, &Inventory { deletion, objects: kept }).await?;
    let good = results.iter().filter(|one| one.outcome == Outcome::Applied).count();
    let bad = results.len().saturating_sub(good);
    let figures = &shared.figures;
    figures.objects.fetch_add(u64::try_from(good).unwrap_or(0), Ordering::Relaxed);
    figures.object_failures.fetch_add(u64::try_from(bad).unwrap_or(0), Ordering::Relaxed);
    let (reason, message) = match bad {
        0 => ("Applied", String::new()),
        _ => ("SomeFailed", format!("{bad} of {} objects are not as meant", results.len())),
    };
    Ok(ManifestSetStatus {
        observed_generation: None,
        applied: Some(i32::try_from(good).unwrap_or(i32::MAX)),
        objects: results,
        placement: None,
        conditions: vec![Condition::new(
            "Applied",
            bad == 0,
            reason,
            &message,
            set.metadata.generation,
        )],
    })
}

/// What is reported of one object.
fn result(entry: Option<Entry>, done: Result<Outcome>, otherwise: Outcome) -> ObjectResult {
    let (outcome, message) = match done {
        Ok(outcome) => (outcome, String::new()),
        Err(error) => (otherwise, clip(&error.to_string(), 512)),
    };
    let text = |text: Option<String>, longest| clip(&text.unwrap_or_default(), longest);
    let (mut api_version, mut kind, mut namespace, mut name) = (None, None, None, None);
    if let Some(entry) = entry {
        (api_version, kind, namespace, name) =
            (Some(entry.api_version), Some(entry.kind), entry.namespace, Some(entry.name));
    }
    ObjectResult {
        api_version: text(api_version, 128),
        kind: text(kind, 63),
        namespace: text(namespace, 63),
        name: text(name, 253),
        outcome,
        message,
    }
}
