//! The loop that keeps the cluster as its `ManifestSet`s say: it watches them at the hub, applies those
//! that changed, and reports what came of each object.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use tokio::time::Instant;

use super::MANAGER;
use super::inventory::Inventories;
use super::set::apply;
use super::shared::Shared;
use crate::access;
use crate::api::ManifestSet;
use crate::apply::{Applier, apply_status};
use crate::backoff::jittered;
use crate::error::{Context as _, Result};

/// After so many intervals all sets are applied again, in case somebody changed their objects.
const RESYNC: u32 = 10;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Applies sets until dropped, while the registration allows it.
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
            () = Round::new(shared, &hub).run() => {}
            _ = hubs.changed() => {}
        }
    }
}

/// Whether the registration is this cluster's and lets the agent apply anything.
fn allowed(shared: &Shared) -> bool {
    shared.registration().is_some_and(|found| {
        shared.is_own(&found) && !found.is_being_deleted() && found.spec.may_apply()
    })
}

/// One round: all sets are applied once, and each again that changes, until the next round is due.
struct Round<'a> {
    shared: &'a Shared,
    api: Api<ManifestSet>,
    inventories: Inventories,
    applier: Applier,
    /// The generation of each set that this round has applied.
    done: HashMap<String, Option<i64>>,
    listed: HashSet<String>,
    /// When the next round is due; unknown until all sets are listed, since the last ones of an interrupted
    /// list would never be applied.
    due: Option<Instant>,
}

impl<'a> Round<'a> {
    fn new(shared: &'a Shared, hub: &Client) -> Self {
        Self {
            shared,
            api: Api::namespaced(hub.clone(), &access::namespace(&shared.options.cluster)),
            inventories: Inventories::new(shared),
            applier: Applier::new(shared.member.clone(), MANAGER),
            done: HashMap::new(),
            listed: HashSet::new(),
            due: None,
        }
    }

    /// Ends when the next round is due, or the agent may apply nothing any more.
    async fn run(mut self) {
        let events = watcher(self.api.clone(), watcher::Config::default());
        let mut events = events.default_backoff().boxed();
        loop {
            let due = self.due;
            let event = tokio::select! {
                event = events.next() => event,
                () = async {
                    match due {
                        Some(due) => tokio::time::sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                } => return,
            };
            let Some(event) = event.filter(|_| allowed(self.shared)) else { return };
            let handled = match event {
                Ok(event) => self.handle(event).await,
                Err(error) => {
                    tracing::warn!(%error, "cannot watch the manifest sets");
                    continue;
                }
            };
            if let Err(error) = handled {
                // The next round applies everything again.
                tracing::warn!(%error, "a manifest set is not applied");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn handle(&mut self, event: Event<ManifestSet>) -> Result<()> {
        match event {
            Event::Init => {
                self.listed.clear();
                Ok(())
            }
            Event::InitApply(set) => {
                self.listed.insert(set.name_any());
                self.reconcile(&set).await
            }
            Event::Apply(set) => self.reconcile(&set).await,
            Event::InitDone => {
                let interval = self.shared.interval().saturating_mul(RESYNC);
                self.due = Some(Instant::now() + jittered(interval));
                self.done.retain(|name, _| self.listed.contains(name));
                self.drop_unlisted().await
            }
            Event::Delete(set) => {
                self.done.remove(&set.name_any());
                self.drop_set(&set.name_any()).await
            }
        }
    }

    /// Drops the sets that were deleted while the agent did not watch.
    async fn drop_unlisted(&self) -> Result<()> {
        for set in self.inventories.sets().await? {
            if !self.listed.contains(&set) {
                self.drop_set(&set).await?;
            }
        }
        Ok(())
    }

    async fn drop_set(&self, set: &str) -> Result<()> {
        let left = self.inventories.drop_set(set).await?;
        tracing::info!(set, ?left, "a manifest set was deleted");
        Ok(())
    }

    /// Applies a set, unless this round has applied this generation of it, and reports.
    async fn reconcile(&mut self, set: &ManifestSet) -> Result<()> {
        let (name, generation) = (set.name_any(), set.metadata.generation);
        let deleted = set.metadata.deletion_timestamp.is_some();
        if deleted || self.done.get(&name) == Some(&generation) {
            return Ok(());
        }
        let status = apply(self.shared, &self.inventories, &mut self.applier, set).await?;
        if set.status.as_ref() != Some(&status) {
            let written = apply_status(&self.api, &name, MANAGER, &status).await;
            written.context(|| format!("writing the status of {name}"))?;
        }
        self.done.insert(name, generation);
        Ok(())
    }
}
