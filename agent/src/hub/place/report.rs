//! The status of a set: how many clusters have applied it, and the result of each.

use std::collections::{BTreeMap, HashMap};

use super::plan::{Cluster, Placed, content};
use crate::access;
use crate::api::{
    ClusterResult, Condition, ConditionStatus, MOST_RESULTS, ManifestSet, ManifestSetStatus,
    Placement, clip, put,
};

/// The status of a set that is for `targets`; `failed` says where its copy could not be written, and why.
pub(super) fn status(
    set: &ManifestSet,
    targets: &BTreeMap<&str, &Cluster>,
    placed: &BTreeMap<&str, &Placed>,
    failed: &HashMap<String, String>,
) -> ManifestSetStatus {
    let content = content(&set.spec);
    let results = targets.iter().map(|(name, cluster)| {
        let (applied, message) = match (placed.get(name), failed.get(*name)) {
            (Some(found), _) if !found.copy => (ConditionStatus::False, foreign(name)),
            (_, Some(why)) => (ConditionStatus::False, why.clone()),
            (found, None) => reported(cluster, found.filter(|found| found.content == content)),
        };
        ClusterResult { name: (*name).to_owned(), applied, message: clip(&message, 256) }
    });
    let mut results: Vec<ClusterResult> = results.collect();
    results.sort_by_key(|one| rank(one.applied));
    let applied = results.iter().filter(|one| one.applied == ConditionStatus::True).count();
    let condition = condition(set, &results, applied);
    let mut conditions = set.status.as_ref().map(|old| old.conditions.clone()).unwrap_or_default();
    put(&mut conditions, condition);
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (clusters, applied) = (number(results.len()), number(applied));
    results.truncate(MOST_RESULTS);
    ManifestSetStatus {
        observed_generation: set.metadata.generation,
        placement: Some(Placement { clusters, applied, results }),
        conditions,
        ..ManifestSetStatus::default()
    }
}

/// The message where a set of the same name is no copy.
fn foreign(cluster: &str) -> String {
    format!(
        "{} has a set of this name that is no copy: rename or delete one of them",
        access::namespace(cluster)
    )
}

/// What a cluster reports, where the hub could write its copy.
fn reported(cluster: &Cluster, found: Option<&&Placed>) -> (ConditionStatus, String) {
    let unknown = |why: &str| (ConditionStatus::Unknown, why.to_owned());
    match found {
        None => unknown("its copy is not written yet"),
        Some(_) if !cluster.applies => {
            unknown("its capabilities have neither ApplyManifests nor Policies")
        }
        Some(found) if found.applied == ConditionStatus::Unknown => {
            unknown("its agent has not reported yet")
        }
        Some(found) => (found.applied, found.message.clone()),
    }
}

/// Failures come first, then what is unknown.
const fn rank(applied: ConditionStatus) -> u8 {
    match applied {
        ConditionStatus::False => 0,
        ConditionStatus::Unknown => 1,
        ConditionStatus::True => 2,
    }
}

/// Whether all clusters have applied the set; `results` are sorted, the worst first.
fn condition(set: &ManifestSet, results: &[ClusterResult], applied: usize) -> Condition {
    let new = |status, reason, message: &str| {
        Condition::new("Applied", status, reason, message, set.metadata.generation)
    };
    let Some(first) = results.first() else {
        return new(ConditionStatus::Unknown, "NoCluster", "the selector matches no cluster");
    };
    let message = || {
        let (all, name, why) = (results.len(), &first.name, &first.message);
        format!("applied in {applied} of {all} clusters; {name}: {why}")
    };
    match first.applied {
        ConditionStatus::True => new(ConditionStatus::True, "Applied", ""),
        ConditionStatus::False => new(ConditionStatus::False, "SomeFailed", &message()),
        ConditionStatus::Unknown => new(ConditionStatus::Unknown, "Waiting", &message()),
    }
}
