//! The conditions of a registration that say what its adapters have written.

use kube::Client;

use super::target::Failure;
use crate::adapter::record;
use crate::api::{AdapterKind, ClusterRegistration, Condition, is_true, put};
use crate::apply::ignore_missing;
use crate::error::{Context as _, Result};
use crate::registration::write_conditions;

/// The field manager of these conditions and of the adapters' records, apart from the controller's others.
/// Its name is older than the word adapter, and stays: another manager could not remove its fields.
pub(super) const MANAGER: &str = "mcp-hub-neighbours";

/// The conditions of a registration that are adapters'.
pub(super) fn conditions(registration: &ClusterRegistration) -> Vec<Condition> {
    let of_adapter = |one: &&Condition| AdapterKind::ALL.iter().any(|kind| kind.name() == one.kind);
    registration.conditions().iter().filter(of_adapter).cloned().collect()
}

/// The conditions of one registration's adapters, one for each.
pub(super) struct AdapterConditions {
    conditions: Vec<Condition>,
    generation: Option<i64>,
    changed: bool,
    failed: bool,
}

impl AdapterConditions {
    /// The conditions as they are now, of a registration of this generation.
    pub(super) fn new(conditions: Vec<Condition>, generation: Option<i64>) -> Self {
        Self { conditions, generation, changed: false, failed: false }
    }

    /// Whether an adapter's last write succeeded.
    pub(super) fn holds(&self, kind: AdapterKind) -> bool {
        is_true(&self.conditions, kind.name())
    }

    fn set(&mut self, kind: AdapterKind, holds: bool, reason: &str, message: &str) {
        let new = Condition::new(kind.name(), holds, reason, message, self.generation);
        self.changed |= put(&mut self.conditions, new);
    }

    /// An adapter wrote `what`.
    pub(super) fn written(&mut self, kind: AdapterKind, what: &str) {
        self.set(kind, true, "Written", what);
    }

    /// An adapter could not write.
    pub(super) fn failed(&mut self, kind: AdapterKind, failure: &Failure) {
        self.failed = true;
        self.set(kind, false, failure.reason, &failure.message);
    }

    /// An adapter could not remove what it wrote, and should have.
    pub(super) fn leaving(&mut self, kind: AdapterKind, failure: &Failure) {
        self.failed = true;
        let message = format!(
            "still to be removed there; to leave it there, remove the annotation {}. {}",
            record(kind),
            failure.message
        );
        self.set(kind, false, "Leaving", &message);
    }

    /// Drops the conditions of all adapters but these.
    pub(super) fn retain(&mut self, kinds: &[AdapterKind]) {
        let before = self.conditions.len();
        self.conditions.retain(|one| kinds.iter().any(|kind| kind.name() == one.kind));
        self.changed |= self.conditions.len() != before;
    }

    /// Whether there is something to write.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Whether there is something to retry.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Writes the conditions of adapters, and no others, unless the registration is gone.
    pub(super) async fn write(self, hub: &Client, cluster: &str) -> Result<Vec<Condition>> {
        for one in &self.conditions {
            tracing::info!(cluster, adapter = one.kind, status = ?one.status, one.reason, one.message);
        }
        let written = write_conditions(hub, cluster, MANAGER, &self.conditions).await;
        ignore_missing(written)
            .context(|| format!("writing the adapters' conditions of {cluster}"))?;
        Ok(self.conditions)
    }
}
