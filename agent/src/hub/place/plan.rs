//! What is to be done about a set, as pure functions: which clusters it is for, what a copy looks like,
//! which copies are written and removed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kube::ResourceExt as _;

use crate::access;
use crate::api::{
    ClusterRegistration, ConditionStatus, Deletion, ManifestSet, ManifestSetSpec, PLACED_FROM,
    clip, find,
};
use crate::install::FLEET_NAMESPACE;

/// What placement needs to know of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) labels: BTreeMap<String, String>,
    /// Whether it is accepted, and not being deleted.
    pub(super) admitted: bool,
    /// Whether its agent may apply anything.
    pub(super) applies: bool,
}

/// What placement needs to know of a set in a cluster's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Whether it is a copy; if not, somebody else wrote it there.
    pub(super) copy: bool,
    pub(super) content: u64,
    pub(super) deletion: Deletion,
    /// What the agent reports of the set's current generation.
    pub(super) applied: ConditionStatus,
    pub(super) message: String,
}

/// What is to be done with the copy of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Write it.
    Write,
    /// Delete it.
    Remove,
    /// Give it the set's current deletion policy, then delete it.
    Retire,
}

impl Cluster {
    pub(super) fn of(registration: &ClusterRegistration) -> Self {
        let spec = &registration.spec;
        Self {
            labels: registration.labels().clone(),
            admitted: spec.accepted && !registration.is_being_deleted(),
            applies: spec.may_apply(),
        }
    }
}

impl Placed {
    pub(super) fn of(set: &ManifestSet) -> Self {
        let status = set.status.as_ref();
        let reported = status
            .filter(|status| status.observed_generation == set.metadata.generation)
            .and_then(|status| find(&status.conditions, "Applied"));
        Self {
            copy: set.labels().contains_key(PLACED_FROM),
            content: content(&set.spec),
            deletion: set.spec.deletion_policy,
            applied: reported.map_or(ConditionStatus::Unknown, |one| one.status),
            message: reported.map_or_else(String::new, |one| clip(&one.message, 256)),
        }
    }
}

/// A number that changes with what a set says to its clusters.
pub(super) fn content(spec: &ManifestSetSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    spec.manifests.len().hash(&mut hasher);
    spec.manifests.iter().for_each(|manifest| manifest.0.hash(&mut hasher));
    (spec.prune, spec.deletion_policy == Deletion::Delete).hash(&mut hasher);
    hasher.finish()
}

/// The clusters that a set is for.
pub(super) fn targets<'a>(
    set: &ManifestSet,
    clusters: &'a BTreeMap<String, Cluster>,
) -> BTreeMap<&'a str, &'a Cluster> {
    let selector = set.spec.cluster_selector.as_ref();
    let selector = selector.filter(|_| set.metadata.deletion_timestamp.is_none());
    let chosen = clusters.iter().filter(|(_, cluster)| {
        cluster.admitted && selector.is_some_and(|selector| selector.matches(&cluster.labels))
    });
    chosen.map(|(name, cluster)| (name.as_str(), cluster)).collect()
}

/// The copy of a set for one cluster.
pub(super) fn copy(set: &ManifestSet, cluster: &str) -> ManifestSet {
    let spec = ManifestSetSpec { cluster_selector: None, ..set.spec.clone() };
    let mut copy = ManifestSet::new(&set.name_any(), spec);
    copy.metadata.namespace = Some(access::namespace(cluster));
    copy.metadata.labels = Some([(PLACED_FROM.to_owned(), FLEET_NAMESPACE.to_owned())].into());
    copy
}

/// What is to be done in which cluster; nothing where the copy is current, or somebody else's set is.
pub(super) fn steps(
    set: &ManifestSet,
    targets: &BTreeMap<&str, &Cluster>,
    placed: &BTreeMap<&str, &Placed>,
) -> Vec<(String, Step)> {
    let content = content(&set.spec);
    let wanted = targets.keys().filter_map(|name| {
        let needed = placed.get(name).is_none_or(|found| found.copy && found.content != content);
        needed.then(|| ((*name).to_owned(), Step::Write))
    });
    let surplus = placed.iter().filter(|(name, found)| found.copy && !targets.contains_key(*name));
    let surplus = surplus.map(|(name, found)| {
        let known = found.deletion == set.spec.deletion_policy;
        ((*name).to_owned(), if known { Step::Remove } else { Step::Retire })
    });
    wanted.chain(surplus).collect()
}
