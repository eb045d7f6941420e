//! What is done about a set and what its status says, case by case.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::{
    Capability, ClusterRegistration, ClusterRegistrationSpec, ClusterSelector, Condition,
    ConditionStatus, Deletion, MOST_RESULTS, Manifest, ManifestSetSpec, ManifestSetStatus,
    PLACED_FROM, find,
};

/// A set for the clusters of the region `east`, of one object that holds `value`.
fn set(value: &str) -> ManifestSet {
    let labels = [("region".to_owned(), "east".to_owned())].into();
    let spec = ManifestSetSpec {
        manifests: vec![Manifest(json!({ "kind": "ConfigMap", "data": { "key": value } }))],
        deletion_policy: Deletion::Delete,
        cluster_selector: Some(ClusterSelector {
            match_labels: labels,
            ..ClusterSelector::default()
        }),
        ..ManifestSetSpec::default()
    };
    let mut set = ManifestSet::new("base", spec);
    set.metadata.generation = Some(7);
    set
}

fn cluster(region: &str) -> Cluster {
    let labels = [("region".to_owned(), region.to_owned())].into();
    Cluster { labels, admitted: true, applies: true }
}

fn clusters(all: &[(&str, Cluster)]) -> BTreeMap<String, Cluster> {
    all.iter().map(|(name, cluster)| ((*name).to_owned(), cluster.clone())).collect()
}

/// A copy of `of`, of which the agent reports this.
fn placed(of: &ManifestSet, applied: ConditionStatus, message: &str) -> Placed {
    let mut copy = plan::copy(of, "x");
    copy.metadata.generation = Some(3);
    let condition = Condition::new("Applied", applied, "X", message, Some(3));
    copy.status = Some(ManifestSetStatus {
        observed_generation: Some(3),
        conditions: vec![condition],
        ..ManifestSetStatus::default()
    });
    Placed::of(&copy)
}

fn by_hand(of: &ManifestSet) -> Placed {
    Placed { copy: false, ..placed(of, ConditionStatus::True, "") }
}

#[test]
fn placement_knows_of_a_registration_what_it_needs() {
    let spec = ClusterRegistrationSpec {
        accepted: true,
        capabilities: vec![Capability::Report, Capability::Policies],
        ..ClusterRegistrationSpec::default()
    };
    let mut registration = ClusterRegistration::new("a", spec);
    registration.labels_mut().insert("region".to_owned(), "east".to_owned());
    assert_eq!(Cluster::of(&registration), cluster("east"));
    let mut reports = registration.clone();
    reports.spec.capabilities = vec![Capability::Report];
    assert!(!Cluster::of(&reports).applies);
    let mut refused = registration.clone();
    refused.spec.accepted = false;
    assert!(!Cluster::of(&refused).admitted);
    registration.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    assert!(!Cluster::of(&registration).admitted);
}

#[test]
fn a_copy_is_the_set_without_its_selector_and_says_that_it_is_one() {
    let set = set("1");
    let copy = plan::copy(&set, "a");
    assert_eq!(copy.name_any(), "base");
    assert_eq!(copy.namespace().as_deref(), Some("mcp-cluster-a"));
    assert_eq!(copy.labels()[PLACED_FROM], "mcp-fleet");
    assert_eq!(copy.spec.cluster_selector, None);
    assert_eq!(copy.spec.manifests, set.spec.manifests);
    assert_eq!(plan::content(&copy.spec), plan::content(&set.spec));
    assert!(Placed::of(&copy).copy && !by_hand(&set).copy);
    // Everything that a member acts on is compared.
    type Change = fn(&mut ManifestSetSpec);
    let changes: [Change; 4] = [
        |spec| spec.prune = true,
        |spec| spec.deletion_policy = Deletion::Retain,
        |spec| spec.manifests.clear(),
        |spec| spec.manifests[0].0["data"]["key"] = json!("2"),
    ];
    for change in changes {
        let mut other = set.spec.clone();
        change(&mut other);
        assert_ne!(plan::content(&other), plan::content(&set.spec), "{other:?}");
    }
}

#[test]
fn a_report_on_an_older_generation_does_not_count() {
    let mut copy = plan::copy(&set("1"), "a");
    assert_eq!(Placed::of(&copy).applied, ConditionStatus::Unknown);
    let condition = Condition::new("Applied", true, "X", "\u{7}bell", None);
    copy.status = Some(ManifestSetStatus {
        observed_generation: Some(1),
        conditions: vec![condition],
        ..ManifestSetStatus::default()
    });
    copy.metadata.generation = Some(1);
    assert_eq!(Placed::of(&copy).applied, ConditionStatus::True);
    copy.metadata.generation = Some(2);
    let found = Placed::of(&copy);
    assert_eq!((found.applied, found.message.as_str()), (ConditionStatus::Unknown, ""));
}

/// The steps that one cluster needs.
fn needed(set: &ManifestSet, cluster: &Cluster, found: Option<&Placed>) -> Option<Step> {
    let all = clusters(&[("a", cluster.clone())]);
    let placed = found.map(|found| ("a", found)).into_iter().collect();
    let steps = plan::steps(set, &plan::targets(set, &all), &placed);
    assert!(steps.len() < 2 && steps.iter().all(|(name, _)| name == "a"), "{steps:?}");
    steps.first().map(|(_, step)| *step)
}

#[test]
fn what_differs_is_written_and_what_is_surplus_removed() {
    let now = set("2");
    let (mut kept, mut going, mut nowhere) = (set("2"), set("2"), set("2"));
    kept.spec.deletion_policy = Deletion::Retain;
    going.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    nowhere.spec.cluster_selector = None;
    let copy = |of: &ManifestSet| Some(placed(of, ConditionStatus::True, ""));
    let (east, west) = (cluster("east"), cluster("west"));
    let leaves = Cluster { admitted: false, ..east.clone() };
    let reports = Cluster { applies: false, ..east.clone() };
    let table = [
        ("new", &now, &east, None, Some(Step::Write)),
        ("current", &now, &east, copy(&now), None),
        ("changed", &now, &east, copy(&set("1")), Some(Step::Write)),
        ("no longer kept", &now, &east, copy(&kept), Some(Step::Write)),
        ("may not apply", &now, &reports, None, Some(Step::Write)),
        ("somebody's own", &now, &east, Some(by_hand(&set("1"))), None),
        ("elsewhere", &now, &west, None, None),
        ("no more here", &now, &west, copy(&now), Some(Step::Remove)),
        ("an old one", &now, &west, copy(&set("1")), Some(Step::Remove)),
        ("another policy", &now, &west, copy(&kept), Some(Step::Retire)),
        ("another's here", &now, &west, Some(by_hand(&now)), None),
        ("not admitted", &now, &leaves, None, None),
        ("leaves", &now, &leaves, copy(&now), Some(Step::Remove)),
        ("the set goes", &going, &east, copy(&now), Some(Step::Remove)),
        ("it goes, and is not there", &going, &east, None, None),
        ("it goes, another's stays", &going, &east, Some(by_hand(&now)), None),
        ("no selector", &nowhere, &east, copy(&now), Some(Step::Remove)),
    ];
    for (what, set, cluster, found, expected) in table {
        assert_eq!(needed(set, cluster, found.as_ref()), expected, "{what}");
    }
}

/// The status of a set where these clusters have what was found.
fn status_of(
    set: &ManifestSet,
    all: &BTreeMap<String, Cluster>,
    found: &[(&str, Placed)],
) -> ManifestSetStatus {
    let placed = found.iter().map(|(name, found)| (*name, found)).collect();
    let failed = [("failed".to_owned(), "the hub\nrefused".to_owned())].into();
    report::status(set, &plan::targets(set, all), &placed, &failed)
}

#[test]
fn each_cluster_has_its_result() {
    let (now, old) = (set("2"), set("1"));
    use ConditionStatus::{False, True, Unknown};
    let reports = Cluster { applies: false, ..cluster("east") };
    let table = [
        ("a", cluster("east"), Some(placed(&now, True, "")), True, ""),
        ("b", cluster("east"), Some(placed(&now, False, "1 of 2")), False, "1 of 2"),
        ("c", cluster("east"), Some(placed(&now, Unknown, "")), Unknown, "its agent"),
        ("d", cluster("east"), Some(placed(&old, True, "")), Unknown, "its copy"),
        ("e", cluster("east"), None, Unknown, "its copy"),
        ("f", reports, Some(placed(&now, True, "")), Unknown, "its capabilities"),
        ("g", cluster("east"), Some(by_hand(&now)), False, "mcp-cluster-g has a set"),
        ("failed", cluster("east"), None, False, "the hub\\u{a}refused"),
    ];
    for (name, cluster, found, applied, message) in table {
        let found: Vec<_> = found.map(|found| (name, found)).into_iter().collect();
        let status = status_of(&now, &clusters(&[(name, cluster)]), &found);
        let placement = status.placement.unwrap();
        assert_eq!(placement.clusters, 1);
        assert_eq!(placement.applied, i32::from(applied == True), "{name}");
        let [result] = placement.results.as_slice() else { panic!("{name}") };
        assert_eq!((result.name.as_str(), result.applied), (name, applied));
        assert!(result.message.starts_with(message), "{name}: {}", result.message);
        let condition = find(&status.conditions, "Applied").unwrap();
        assert_eq!((condition.status, condition.observed_generation), (applied, Some(7)));
        assert!(condition.message.contains(message), "{name}: {}", condition.message);
    }
}

#[test]
fn the_worst_comes_first_and_the_list_ends() {
    let now = set("1");
    let none = status_of(&now, &clusters(&[("w", cluster("west"))]), &[]);
    let condition = find(&none.conditions, "Applied").unwrap();
    assert_eq!(
        (condition.status, condition.reason.as_str()),
        (ConditionStatus::Unknown, "NoCluster")
    );
    assert_eq!(none.placement.unwrap().clusters, 0);

    let names: Vec<String> = (0..200).map(|number| format!("c{number:03}")).collect();
    let all = names.iter().map(|name| (name.clone(), cluster("east"))).collect();
    let found: Vec<(&str, Placed)> = names
        .iter()
        .map(|name| match name.as_str() {
            "c150" => ("c150", placed(&now, ConditionStatus::False, "1 of 2 objects")),
            "c151" => ("c151", placed(&now, ConditionStatus::Unknown, "")),
            name => (name, placed(&now, ConditionStatus::True, "")),
        })
        .collect();
    let status = status_of(&now, &all, &found);
    let condition = find(&status.conditions, "Applied").unwrap();
    assert_eq!(condition.reason, "SomeFailed");
    assert_eq!(condition.message, "applied in 198 of 200 clusters; c150: 1 of 2 objects");
    let placement = status.placement.clone().unwrap();
    assert_eq!((placement.clusters, placement.applied), (200, 198));
    assert_eq!(placement.results.len(), MOST_RESULTS);
    let first: Vec<&str> = placement.results.iter().map(|one| one.name.as_str()).take(3).collect();
    assert_eq!(first, ["c150", "c151", "c000"]);

    // A second time it is the same: nothing is written.
    let mut set = now;
    set.status = Some(status.clone());
    assert_eq!(status_of(&set, &all, &found), status);
}
