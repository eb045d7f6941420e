//! One `ManifestSet` applied: its objects are applied one by one, and those that left the set are deleted.

use std::sync::atomic::Ordering;

use kube::ResourceExt as _;
use kube::api::DynamicObject;

use super::inventory::{Entry, Inventories, Inventory};
use super::shared::Shared;
use crate::api::{
    Condition, Manifest, ManifestSet, ManifestSetStatus, ObjectResult, Outcome, clip, put,
};
use crate::apply::Applier;
use crate::error::{Error, Result};

/// What came of a set's objects so far.
#[derive(Default)]
struct Progress {
    results: Vec<ObjectResult>,
    /// The objects that are there now, or may be.
    present: Vec<Entry>,
}

/// Applies a set's objects and deletes those that it no longer holds. Returns what to report.
pub(super) async fn apply(
    shared: &Shared,
    inventories: &Inventories,
    applier: &mut Applier,
    set: &ManifestSet,
) -> Result<ManifestSetStatus> {
    let name = set.name_any();
    let objects = parse(&set.spec.manifests);
    let parsed = objects.iter().flatten().filter_map(Entry::of).collect();
    let wanted = placed(parsed, applier).await;
    let before = placed(inventories.load(&name).await?.objects, applier).await;
    let surplus: Vec<Entry> = before.iter().filter(|one| !one.is_among(&wanted)).cloned().collect();
    let deletion = set.spec.deletion_policy;
    // Saved before anything is applied, so that no object is forgotten if the agent ends meanwhile.
    let all = wanted.into_iter().chain(surplus.iter().cloned()).collect();
    inventories.save(&name, &Inventory { deletion, objects: all }).await?;
    let mut progress = Progress::default();
    for object in objects {
        progress.apply(object, &before, applier).await;
    }
    if set.spec.prune && !surplus.is_empty() {
        let others = inventories.others(&name).await?;
        let surplus = surplus.into_iter().filter(|entry| !entry.is_among(&others));
        progress.prune(surplus.collect(), applier).await;
    }
    inventories.save(&name, &Inventory { deletion, objects: progress.present }).await?;
    Ok(status(shared, set, progress.results))
}

/// The objects of a set, each as far as it is one.
fn parse(manifests: &[Manifest]) -> Vec<Result<DynamicObject>> {
    let parse = |manifest: &Manifest| {
        serde_json::from_value(manifest.0.clone())
            .map_err(|error| Error::Invalid(format!("this is no object: {error}")))
    };
    manifests.iter().map(parse).collect()
}

async fn placed(entries: Vec<Entry>, applier: &mut Applier) -> Vec<Entry> {
    let mut placed = Vec::new();
    for entry in entries {
        placed.push(entry.placed(applier).await);
    }
    placed
}

impl Progress {
    /// Applies one object. One that failed counts as present only if it was there `before`.
    async fn apply(
        &mut self,
        object: Result<DynamicObject>,
        before: &[Entry],
        applier: &mut Applier,
    ) {
        let (entry, applied) = match object {
            Ok(object) => {
                let applied = applier.apply(&object).await;
                let entry = match Entry::of(&object) {
                    Some(entry) => Some(entry.placed(applier).await),
                    None => None,
                };
                (entry, applied.map(drop))
            }
            Err(error) => (None, Err(error)),
        };
        let present = applied.is_ok() || entry.as_ref().is_some_and(|entry| entry.is_among(before));
        self.present.extend(entry.clone().filter(|_| present));
        let (outcome, message) = match applied {
            Ok(()) => (Outcome::Applied, String::new()),
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        self.results.push(result(entry, outcome, &message));
    }

    /// Deletes objects that the set no longer holds, in reverse: a namespace after what is in it.
    async fn prune(&mut self, surplus: Vec<Entry>, applier: &mut Applier) {
        for entry in surplus.into_iter().rev() {
            if let Err(error) = entry.delete(applier).await {
                let message = error.to_string();
                self.results.push(result(Some(entry.clone()), Outcome::Stuck, &message));
                self.present.push(entry);
            }
        }
    }
}

/// What is reported of one object.
fn result(entry: Option<Entry>, outcome: Outcome, message: &str) -> ObjectResult {
    let entry = entry.unwrap_or_default();
    ObjectResult {
        api_version: clip(&entry.api_version, 128),
        kind: clip(&entry.kind, 63),
        namespace: clip(&entry.namespace.unwrap_or_default(), 63),
        name: clip(&entry.name, 253),
        outcome,
        message: clip(message, 512),
    }
}

/// What is reported of the whole set.
fn status(shared: &Shared, set: &ManifestSet, results: Vec<ObjectResult>) -> ManifestSetStatus {
    let applied = results.iter().filter(|one| one.outcome == Outcome::Applied).count();
    let failed = results.len().saturating_sub(applied);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    shared.metrics.objects.fetch_add(count(applied), Ordering::Relaxed);
    shared.metrics.object_failures.fetch_add(count(failed), Ordering::Relaxed);
    let (reason, message) = match failed {
        0 => ("Applied", String::new()),
        _ => ("SomeFailed", format!("{failed} of {} objects failed", results.len())),
    };
    let generation = set.metadata.generation;
    let mut conditions = set.status.as_ref().map(|old| old.conditions.clone()).unwrap_or_default();
    put(&mut conditions, Condition::new("Applied", failed == 0, reason, &message, generation));
    ManifestSetStatus {
        observed_generation: generation,
        applied: Some(i32::try_from(applied).unwrap_or(i32::MAX)),
        objects: results,
        placement: None,
        conditions,
    }
}
