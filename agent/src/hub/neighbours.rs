//! Neighbours of all clusters: a queue of their own, so that one that is away holds nobody else up.
//!
//! What a neighbour may know is recorded in the registration before it is told; so nothing is forgotten
//! by a controller that ends in between.

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

use super::export::{Failure, Target};
use super::told::{self, Told, conditions};
use super::{Shared, count, lock};
use crate::api::{Adapter, AdapterKind, ClusterRegistration, Condition, NEIGHBOURS};
use crate::error::{Context as _, Error, Result};
use crate::neighbour::{left, neighbour, record, recorded};

/// How many clusters are worked on at once.
const WORKERS: u16 = 8;
/// When something that failed is tried again, at the latest.
const RETRY: Duration = Duration::from_mins(1);
/// The same, while a registration waits for it to go.
const HASTE: Duration = Duration::from_secs(5);
/// How often what was written is written again, whatever became of it meanwhile.
const REFRESH: Duration = Duration::from_mins(10);
/// How long a registration that is being deleted waits for its neighbours.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the work on neighbours shares.
struct Desk {
    shared: Arc<Shared>,
    /// By the registrations' UIDs.
    memories: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of one registration. What the watch says may be older.
#[derive(Default)]
struct Memory {
    /// What each neighbour was last told, and when.
    written: HashMap<AdapterKind, (u64, Instant)>,
    /// The conditions as they were last written.
    conditions: Option<Vec<Condition>>,
    /// Since when it has been seen to be deleted.
    leaving: Option<Instant>,
}

/// A function to call for each look at a cluster, and the work that this causes.
pub(super) fn queue(
    shared: Arc<Shared>,
    store: Store<ClusterRegistration>,
) -> (impl Fn(&ClusterRegistration), impl Future<Output = ()>) {
    let (sender, receiver) = mpsc::unbounded();
    let told = move |registration: &ClusterRegistration| {
        let held = registration.finalizers().iter().any(|one| one == NEIGHBOURS);
        if held || !registration.spec.adapters.is_empty() || !conditions(registration).is_empty() {
            // The queue lives as long as the controller, and holds each cluster once.
            let _ = sender.unbounded_send(ObjectRef::from(registration));
        }
    };
    let desk = Desk { shared, memories: Mutex::default() };
    let config = Config::default().concurrency(WORKERS);
    let queue = receiver.map(Ok::<ObjectRef<_>, Infallible>);
    let look = |registration, desk| Box::pin(look(registration, desk));
    let work = applier(look, again, Arc::new(desk), store, queue, config);
    // A failed look is told by `again`; a cluster that is gone meanwhile is no matter.
    (told, work.for_each(|_| std::future::ready(())))
}

fn again(registration: Arc<ClusterRegistration>, error: &Error, desk: Arc<Desk>) -> Action {
    count(&desk.shared.figures.failed);
    tracing::warn!(cluster = registration.name_any(), %error, "will look at its neighbours again");
    Action::requeue(HASTE.mul_f64(rand::random_range(0.5..1.0)))
}

/// Looks at the neighbours of one cluster, and says when to look again. No other look at it goes on
/// meanwhile.
async fn look(registration: Arc<ClusterRegistration>, desk: Arc<Desk>) -> Result<Action> {
    let uid = registration.uid().unwrap_or_default();
    let mut memory = lock(&desk.memories).remove(&uid).unwrap_or_default();
    let next = attend(&registration, &desk.shared, &mut memory).await;
    if !matches!(next, Ok(None)) {
        lock(&desk.memories).insert(uid, memory);
    }
    Ok(next?.map_or_else(Action::await_change, Action::requeue))
}

/// Does what there is to do for one cluster. Returns when to look again, if there is any need to.
async fn attend(
    registration: &ClusterRegistration,
    shared: &Shared,
    memory: &mut Memory,
) -> Result<Option<Duration>> {
    let cluster = registration.name_any();
    let deleted = registration.metadata.deletion_timestamp.is_some();
    let wanted = if deleted { Vec::new() } else { wanted(registration) };
    let before = memory.conditions.clone().unwrap_or_else(|| conditions(registration));
    let mut told = Told::new(before, registration.metadata.generation);
    let hub = &shared.client;
    let mut records = take_back(hub, registration, &wanted, memory, &mut told).await;
    let targets = targets(hub, registration, &wanted, memory, &mut records, &mut told).await;
    told.keep(|kind| wanted.iter().chain(&records).any(|(one, _)| *one == kind));
    note(hub, registration, &records).await?;
    let mut written = Vec::new();
    for (kind, digest, target) in targets {
        match target.write(registration).await {
            Ok(what) => {
                told.wrote(kind, &what);
                written.push((kind, (digest, Instant::now())));
            }
            Err(failure) => told.failed(kind, &failure),
        }
    }
    let failed = told.has_failed();
    if told.changed() {
        memory.conditions = Some(told.write(hub, &cluster).await?);
        count(&shared.figures.writes);
    }
    memory.written.extend(written);
    Ok(match (failed, records.is_empty()) {
        (true, _) if deleted => Some(HASTE),
        (true, _) => Some(RETRY.mul_f64(rand::random_range(0.5..1.0))),
        (false, false) => Some(REFRESH),
        (false, true) => None,
    })
}

/// The neighbours that are to know a cluster, and by which Secrets.
fn wanted(registration: &ClusterRegistration) -> Vec<(AdapterKind, String)> {
    let secret = |adapter: &Adapter| adapter.secret_ref.clone().map(|secret| secret.name);
    let adapters = registration.spec.adapters.iter();
    adapters.map(|adapter| (adapter.kind, secret(adapter).unwrap_or_default())).collect()
}

/// Takes a cluster back from neighbours that are to know it no more, or by another Secret. Returns
/// those that may know it still.
async fn take_back(
    hub: &Client,
    registration: &ClusterRegistration,
    wanted: &[(AdapterKind, String)],
    memory: &mut Memory,
    told: &mut Told,
) -> Vec<(AdapterKind, String)> {
    let cluster = registration.name_any();
    let deleted = registration.metadata.deletion_timestamp.is_some();
    let late = deleted && memory.leaving.get_or_insert_with(Instant::now).elapsed() > PATIENCE;
    let mut records = Vec::new();
    for (kind, secret) in recorded(registration) {
        if wanted.contains(&(kind, secret.clone())) {
            records.push((kind, secret));
            continue;
        }
        memory.written.remove(&kind);
        let ended = match Target::find(hub, kind, &secret).await {
            Ok(target) => target.take_back(registration).await,
            Err(failure) => Err(failure),
        };
        match ended {
            Ok(()) => tracing::info!(cluster, neighbour = kind.name(), "has left it"),
            Err(why) if late => {
                let left = left(registration).join(", ");
                tracing::warn!(cluster, left, why.message, "leaves what cannot be taken back");
            }
            Err(why) => {
                told.leaving(kind, &why);
                records.push((kind, secret));
            }
        }
    }
    records
}

/// Finds the neighbours that are to be told now, and adds them to `records`.
async fn targets(
    hub: &Client,
    registration: &ClusterRegistration,
    wanted: &[(AdapterKind, String)],
    memory: &Memory,
    records: &mut Vec<(AdapterKind, String)>,
    told: &mut Told,
) -> Vec<(AdapterKind, u64, Target)> {
    let mut targets = Vec::new();
    for (kind, secret) in wanted {
        // First it must have left where another Secret led to.
        if records.iter().any(|(one, before)| one == kind && before != secret) {
            continue;
        }
        let digest = digest(*kind, registration);
        let fresh = memory
            .written
            .get(kind)
            .is_some_and(|(last, at)| *last == digest && at.elapsed() < REFRESH);
        if fresh && told.holds(*kind) {
            // What was looked at may be older than the record.
            add(records, *kind, secret);
            continue;
        }
        let found = if registration.spec.accepted {
            Target::find(hub, *kind, secret).await
        } else {
            Err(Failure::new("NotAccepted", "spec.accepted is false"))
        };
        match found {
            Ok(target) => {
                add(records, *kind, secret);
                targets.push((*kind, digest, target));
            }
            Err(failure) => told.failed(*kind, &failure),
        }
    }
    targets
}

/// What a neighbour is to be told, as a number: the same number, the same words.
fn digest(kind: AdapterKind, registration: &ClusterRegistration) -> u64 {
    let (neighbour, mut hasher) = (neighbour(kind), DefaultHasher::new());
    let object = serde_json::to_string(&neighbour.object(registration));
    (object.unwrap_or_default(), neighbour.status(registration).map(|status| status.to_string()))
        .hash(&mut hasher);
    hasher.finish()
}

/// Adds a neighbour to the list of those that may know a cluster.
fn add(records: &mut Vec<(AdapterKind, String)>, kind: AdapterKind, secret: &str) {
    records.retain(|(one, _)| *one != kind);
    records.push((kind, secret.to_owned()));
}

/// Records which neighbours may know the cluster, and by which Secrets, if that has changed.
async fn note(
    hub: &Client,
    registration: &ClusterRegistration,
    records: &[(AdapterKind, String)],
) -> Result<()> {
    let found = recorded(registration);
    let held = registration.finalizers().iter().any(|one| one == NEIGHBOURS);
    let same = records.len() == found.len() && records.iter().all(|one| found.contains(one));
    if same && held != records.is_empty() {
        return Ok(());
    }
    let annotations: HashMap<String, &String> =
        records.iter().map(|(kind, secret)| (record(*kind), secret)).collect();
    let finalizers: &[&str] = if records.is_empty() { &[] } else { &[NEIGHBOURS] };
    // This one, and no other that has its name meanwhile.
    let patch = json!({
        "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
        "metadata": {
            "uid": registration.uid(), "annotations": annotations, "finalizers": finalizers,
        },
    });
    let name = registration.name_any();
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let params = PatchParams::apply(told::MANAGER).force();
    let written = api.patch(&name, &params, &Patch::Apply(patch)).await;
    written.context(|| format!("recording the neighbours of {name}")).map(|_| ())
}
