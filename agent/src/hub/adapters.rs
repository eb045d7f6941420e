//! The adapters of all clusters. They have a queue of their own, so that a system that does not answer
//! delays nothing else.
//!
//! Which adapters write is recorded in the registration before they do, so that a controller that ends in
//! between forgets nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::channel::mpsc;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::adapter_conditions::{self, AdapterConditions, conditions};
use super::shared::{Shared, count, lock};
use super::target::{Failure, Target};
use crate::adapter::{adapter, left_behind, record, recorded};
use crate::api::{ADAPTERS, AdapterKind, ClusterRegistration, Condition};
use crate::backoff::jittered;
use crate::error::{Context as _, Error, Result};

/// How many clusters are worked on at once.
const WORKERS: u16 = 8;
/// How soon a failure is retried.
const RETRY: Duration = Duration::from_secs(50);
/// The same, while a registration is being deleted, or where the hub itself fails.
const RETRY_SOON: Duration = Duration::from_secs(5);
/// How often everything is written again, in case somebody changed it.
const REFRESH: Duration = Duration::from_mins(10);
/// How long a registration that is being deleted waits for its adapters.
const DELETION_TIMEOUT: Duration = Duration::from_mins(1);

/// An adapter, and the name of its Secret; empty where it needs none.
type Use = (AdapterKind, String);

/// What all looks share.
struct Context {
    shared: Arc<Shared>,
    /// By the registrations' UIDs.
    memories: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of one registration: what the watch says of it may be older.
#[derive(Default)]
struct Memory {
    /// The digest of what each adapter last wrote, and when.
    written: HashMap<AdapterKind, (u64, Instant)>,
    /// The conditions as they were last written.
    conditions: Option<Vec<Condition>>,
    /// When it was first seen to be deleted.
    deleted: Option<Instant>,
}

/// One look at the adapters of one cluster.
struct Look<'a> {
    hub: &'a Client,
    registration: &'a ClusterRegistration,
    memory: &'a mut Memory,
    wanted: Vec<Use>,
    /// The adapters that may have written something.
    records: Vec<Use>,
    conditions: AdapterConditions,
}

/// A function to call for each look at a cluster, and the work that this causes.
pub(super) fn queue(
    shared: Arc<Shared>,
    store: Store<ClusterRegistration>,
) -> (impl Fn(&ClusterRegistration), impl Future<Output = ()>) {
    let (sender, receiver) = mpsc::unbounded();
    let enqueue = move |registration: &ClusterRegistration| {
        let marked = registration.finalizers().iter().any(|one| one == ADAPTERS);
        let wanted = !registration.spec.adapters.is_empty();
        if marked || wanted || !conditions(registration).is_empty() {
            // The receiver lives as long as the controller, and its queue holds each cluster once.
            let _ = sender.unbounded_send(ObjectRef::from(registration));
        }
    };
    let context = Context { shared, memories: Mutex::default() };
    let config = Config::default().concurrency(WORKERS);
    let queue = receiver.map(Ok::<ObjectRef<_>, Infallible>);
    let reconcile = |registration, context| Box::pin(reconcile(registration, context));
    let work = applier(reconcile, retry, Arc::new(context), store, queue, config);
    // `retry` has logged failures; a cluster that was deleted meanwhile is none.
    (enqueue, work.for_each(|_| std::future::ready(())))
}

fn retry(registration: Arc<ClusterRegistration>, error: &Error, context: Arc<Context>) -> Action {
    count(&context.shared.metrics.failed);
    let cluster = registration.name_any();
    tracing::warn!(cluster, %error, "will look at its adapters again");
    Action::requeue(jittered(RETRY_SOON))
}

/// Looks at the adapters of one cluster, and says when to look again. The queue lets no other look at the
/// same cluster begin meanwhile.
async fn reconcile(
    registration: Arc<ClusterRegistration>,
    context: Arc<Context>,
) -> Result<Action> {
    let uid = registration.uid().unwrap_or_default();
    let mut memory = lock(&context.memories).remove(&uid).unwrap_or_default();
    let next =
        Look::new(&registration, &context.shared.client, &mut memory).run(&context.shared).await;
    if !matches!(next, Ok(None)) {
        lock(&context.memories).insert(uid, memory);
    }
    Ok(next?.map_or_else(Action::await_change, Action::requeue))
}

impl<'a> Look<'a> {
    fn new(registration: &'a ClusterRegistration, hub: &'a Client, memory: &'a mut Memory) -> Self {
        let deleted = registration.is_being_deleted();
        let before = memory.conditions.clone().unwrap_or_else(|| conditions(registration));
        Self {
            hub,
            registration,
            wanted: if deleted { Vec::new() } else { wanted(registration) },
            records: Vec::new(),
            conditions: AdapterConditions::new(before, registration.metadata.generation),
            memory,
        }
    }

    /// Does what there is to do. Returns when to look again, if at all.
    async fn run(mut self, shared: &Shared) -> Result<Option<Duration>> {
        self.remove_surplus().await;
        let targets = self.targets().await;
        let known: Vec<AdapterKind> =
            self.wanted.iter().chain(&self.records).map(|(kind, _)| *kind).collect();
        self.conditions.retain(&known);
        self.record().await?;
        let mut written = Vec::new();
        for (kind, digest, target) in targets {
            match target.write(self.registration).await {
                Ok(what) => {
                    self.conditions.written(kind, &what);
                    written.push((kind, (digest, Instant::now())));
                }
                Err(failure) => self.conditions.failed(kind, &failure),
            }
        }
        let failed = self.conditions.has_failed();
        if self.conditions.changed() {
            let cluster = self.registration.name_any();
            self.memory.conditions = Some(self.conditions.write(self.hub, &cluster).await?);
            count(&shared.metrics.writes);
        }
        self.memory.written.extend(written);
        Ok(match (failed, self.records.is_empty()) {
            (true, _) if self.registration.is_being_deleted() => Some(RETRY_SOON),
            (true, _) => Some(jittered(RETRY)),
            (false, false) => Some(REFRESH),
            (false, true) => None,
        })
    }

    /// Removes what adapters wrote that left the list, or have another Secret now. Adds to the records those
    /// that may still have written something.
    async fn remove_surplus(&mut self) {
        let deleted = self.registration.is_being_deleted();
        let late = deleted
            && self.memory.deleted.get_or_insert_with(Instant::now).elapsed() > DELETION_TIMEOUT;
        for (kind, secret) in recorded(self.registration) {
            if self.wanted.contains(&(kind, secret.clone())) {
                self.records.push((kind, secret));
                continue;
            }
            self.memory.written.remove(&kind);
            let removed = match Target::find(self.hub, kind, &secret).await {
                Ok(target) => target.remove(self.registration).await,
                Err(failure) => Err(failure),
            };
            let cluster = self.registration.name_any();
            match removed {
                Ok(()) => {
                    tracing::info!(cluster, adapter = kind.name(), "removed the cluster there")
                }
                Err(failure) if late => {
                    let left = left_behind(self.registration).join(", ");
                    tracing::warn!(cluster, left, failure.message, "leaves what cannot be removed");
                }
                Err(failure) => {
                    self.conditions.leaving(kind, &failure);
                    self.records.push((kind, secret));
                }
            }
        }
    }

    /// Where something is to be written now, and its digest. Adds those adapters to the records.
    async fn targets(&mut self) -> Vec<(AdapterKind, u64, Target)> {
        let mut targets = Vec::new();
        for (kind, secret) in self.wanted.clone() {
            // What was written with another Secret is to be removed first.
            if self.records.iter().any(|(one, before)| *one == kind && *before != secret) {
                continue;
            }
            let digest = digest(kind, self.registration);
            let written = self.memory.written.get(&kind);
            let current =
                written.is_some_and(|(last, at)| *last == digest && at.elapsed() < REFRESH);
            if current && self.conditions.holds(kind) {
                // The registration that was looked at may be older than its record.
                self.add_record(kind, secret);
                continue;
            }
            let found = if self.registration.spec.accepted {
                Target::find(self.hub, kind, &secret).await
            } else {
                Err(Failure::new("NotAccepted", "spec.accepted is false"))
            };
            match found {
                Ok(target) => {
                    self.add_record(kind, secret);
                    targets.push((kind, digest, target));
                }
                Err(failure) => self.conditions.failed(kind, &failure),
            }
        }
        targets
    }

    fn add_record(&mut self, kind: AdapterKind, secret: String) {
        self.records.retain(|(one, _)| *one != kind);
        self.records.push((kind, secret));
    }

    /// Writes the records into the registration, if they have changed.
    async fn record(&self) -> Result<()> {
        let (registration, records) = (self.registration, &self.records);
        let found = recorded(registration);
        let marked = registration.finalizers().iter().any(|one| one == ADAPTERS);
        let same = records.len() == found.len() && records.iter().all(|one| found.contains(one));
        if same && marked != records.is_empty() {
            return Ok(());
        }
        let annotations: HashMap<String, &String> =
            records.iter().map(|(kind, secret)| (record(*kind), secret)).collect();
        let finalizers: &[&str] = if records.is_empty() { &[] } else { &[ADAPTERS] };
        // With the UID, so that no later registration of the same name is changed.
        let patch = json!({
            "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
            "metadata": {
                "uid": registration.uid(), "annotations": annotations, "finalizers": finalizers,
            },
        });
        let name = registration.name_any();
        let api = Api::<ClusterRegistration>::all(self.hub.clone());
        let params = PatchParams::apply(adapter_conditions::MANAGER).force();
        let written = api.patch(&name, &params, &Patch::Apply(patch)).await;
        written.context(|| format!("recording the adapters of {name}")).map(drop)
    }
}

/// The adapters that the registration lists.
fn wanted(registration: &ClusterRegistration) -> Vec<Use> {
    let wanted = registration.spec.adapters.iter().map(|adapter| {
        let secret = adapter.secret_ref.clone().map(|secret| secret.name);
        (adapter.kind, secret.unwrap_or_default())
    });
    wanted.collect()
}

/// A number that changes with what an adapter writes.
fn digest(kind: AdapterKind, registration: &ClusterRegistration) -> u64 {
    let (adapter, mut hasher) = (adapter(kind), DefaultHasher::new());
    let object = serde_json::to_string(&adapter.object(registration));
    (object.unwrap_or_default(), adapter.status(registration).map(|status| status.to_string()))
        .hash(&mut hasher);
    hasher.finish()
}
