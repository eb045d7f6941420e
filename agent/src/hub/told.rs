//! What a registration's conditions say of its neighbours.

use kube::Client;

use super::export::Failure;
use crate::api::{AdapterKind, ClusterRegistration, Condition, ConditionStatus, find, put};
use crate::error::{Context as _, Result};
use crate::neighbour::record;
use crate::registration::{gone, write_conditions};

/// The field manager of these conditions and of what is recorded of neighbours, apart from the hub's others.
pub(super) const MANAGER: &str = "mcp-hub-neighbours";

/// The conditions of neighbours that a registration has.
pub(super) fn conditions(registration: &ClusterRegistration) -> Vec<Condition> {
    let all = registration.status.iter().flat_map(|status| &status.conditions);
    let of_a_neighbour =
        |one: &&Condition| AdapterKind::ALL.iter().any(|kind| kind.name() == one.kind);
    all.filter(of_a_neighbour).cloned().collect()
}

/// The conditions of a registration's neighbours, one for each.
pub(super) struct Told {
    conditions: Vec<Condition>,
    generation: Option<i64>,
    changed: bool,
    failed: bool,
}

impl Told {
    /// As they are now, of a registration of this generation.
    pub(super) fn new(conditions: Vec<Condition>, generation: Option<i64>) -> Self {
        Self { conditions, generation, changed: false, failed: false }
    }

    /// Whether a neighbour was told.
    pub(super) fn holds(&self, kind: AdapterKind) -> bool {
        find(&self.conditions, kind.name()).is_some_and(|one| one.status == ConditionStatus::True)
    }

    fn set(&mut self, kind: AdapterKind, holds: bool, reason: &str, message: &str) {
        let new = Condition::new(kind.name(), holds, reason, message, self.generation);
        self.changed |= put(&mut self.conditions, new);
    }

    /// The neighbour knows the cluster.
    pub(super) fn wrote(&mut self, kind: AdapterKind, what: &str) {
        self.set(kind, true, "Written", what);
    }

    /// It could not be told.
    pub(super) fn failed(&mut self, kind: AdapterKind, why: &Failure) {
        self.failed = true;
        self.set(kind, false, why.reason, &why.message);
    }

    /// It knows the cluster still, and should not.
    pub(super) fn leaving(&mut self, kind: AdapterKind, why: &Failure) {
        self.failed = true;
        let message = format!(
            "still to be taken back there; to leave it, remove the annotation {}. {}",
            record(kind),
            why.message
        );
        self.set(kind, false, "Leaving", &message);
    }

    /// Drops the conditions of all other neighbours.
    pub(super) fn keep(&mut self, kept: impl Fn(AdapterKind) -> bool) {
        let before = self.conditions.len();
        let kinds: Vec<&str> = AdapterKind::ALL
            .into_iter()
            .filter(|kind| kept(*kind))
            .map(AdapterKind::name)
            .collect();
        self.conditions.retain(|one| kinds.contains(&one.kind.as_str()));
        self.changed |= self.conditions.len() != before;
    }

    /// Whether there is something to write.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Whether there is something to try again.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Writes the conditions of neighbours, and no others. A registration that is gone needs none.
    pub(super) async fn write(self, hub: &Client, cluster: &str) -> Result<Vec<Condition>> {
        for one in &self.conditions {
            tracing::info!(cluster, neighbour = one.kind, status = ?one.status, one.reason, one.message);
        }
        let written = write_conditions(hub, cluster, MANAGER, &self.conditions).await;
        gone(written).context(|| format!("writing what the neighbours of {cluster} know"))?;
        Ok(self.conditions)
    }
}
