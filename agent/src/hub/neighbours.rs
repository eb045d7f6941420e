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
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use serde_json::json;

use super::export::{Failure, Target};
use super::told::{self, Told};
use super::{Shared, count, lock};
use crate::api::{Adapter, AdapterKind, ClusterRegistration, NEIGHBOURS};
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
    /// What a neighbour was last told of a cluster, and when.
    written: Mutex<HashMap<(String, AdapterKind), (u64, Instant)>>,
    /// Since when a registration has been seen to be deleted.
    leaving: Mutex<HashMap<String, Instant>>,
}

/// A function to call for each look at a cluster, and the work that this causes.
pub(super) fn queue(
    shared: Arc<Shared>,
    store: Store<ClusterRegistration>,
) -> (impl Fn(&ClusterRegistration), impl Future<Output = ()>) {
    let (sender, receiver) = mpsc::unbounded();
    let told = move |registration: &ClusterRegistration| {
        let held = registration.finalizers().iter().any(|one| one == NEIGHBOURS);
        if held || !registration.spec.adapters.is_empty() {
            // The queue lives as long as the controller, and holds each cluster once.
            let _ = sender.unbounded_send(ObjectRef::from(registration));
        }
    };
    let desk = Desk { shared, written: Mutex::default(), leaving: Mutex::default() };
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

/// Looks at the neighbours of one cluster, and says when to look again.
async fn look(registration: Arc<ClusterRegistration>, desk: Arc<Desk>) -> Result<Action> {
    let cluster = registration.name_any();
    let deleted = registration.metadata.deletion_timestamp.is_some();
    let wanted = if deleted { Vec::new() } else { wanted(&registration) };
    let mut told = Told::of(&registration);
    let mut records = desk.take_back(&registration, &wanted, &mut told).await;
    let targets = desk.targets(&registration, &wanted, &mut records, &mut told).await;
    let known = |kind| wanted.iter().chain(&records).any(|(one, _)| *one == kind);
    told.keep(known);
    note(&desk, &registration, &records).await?;
    let mut written = Vec::new();
    for (kind, digest, target) in targets {
        match target.write(&registration).await {
            Ok(what) => {
                told.wrote(kind, &what);
                written.push(((cluster.clone(), kind), (digest, Instant::now())));
            }
            Err(failure) => told.failed(kind, &failure),
        }
    }
    if told.changed() {
        told.write(&desk.shared.client, &cluster).await?;
        count(&desk.shared.figures.writes);
    }
    lock(&desk.written).extend(written);
    if deleted && records.is_empty() {
        lock(&desk.leaving).remove(&cluster);
    }
    Ok(match (told.has_failed(), records.is_empty()) {
        (true, _) if deleted => Action::requeue(HASTE),
        (true, _) => Action::requeue(RETRY.mul_f64(rand::random_range(0.5..1.0))),
        (false, false) => Action::requeue(REFRESH),
        (false, true) => Action::await_change(),
    })
}

/// The neighbours that are to know a cluster, and by which Secrets.
fn wanted(registration: &ClusterRegistration) -> Vec<(AdapterKind, String)> {
    let secret = |adapter: &Adapter| adapter.secret_ref.clone().map(|secret| secret.name);
    let adapters = registration.spec.adapters.iter();
    adapters.map(|adapter| (adapter.kind, secret(adapter).unwrap_or_default())).collect()
}

impl Desk {
    /// Takes a cluster back from neighbours that are to know it no more, or by another Secret. Returns
    /// those that may know it still.
    async fn take_back(
        &self,
        registration: &ClusterRegistration,
        wanted: &[(AdapterKind, String)],
        told: &mut Told,
    ) -> Vec<(AdapterKind, String)> {
        let cluster = registration.name_any();
        let deleted = registration.metadata.deletion_timestamp.is_some();
        let late = deleted && self.since(&cluster).elapsed() > PATIENCE;
        let mut records = Vec::new();
        for (kind, secret) in recorded(registration) {
            if wanted.contains(&(kind, secret.clone())) {
                records.push((kind, secret));
                continue;
            }
            lock(&self.written).remove(&(cluster.clone(), kind));
            let ended = match Target::find(&self.shared.client, kind, &secret).await {
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
        &self,
        registration: &ClusterRegistration,
        wanted: &[(AdapterKind, String)],
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
            let key = (registration.name_any(), *kind);
            let fresh = lock(&self.written)
                .get(&key)
                .is_some_and(|(last, at)| *last == digest && at.elapsed() < REFRESH);
            if fresh && told.holds(*kind) {
                // What was looked at may be older than the record.
                add(records, *kind, secret);
                continue;
            }
            let found = if registration.spec.accepted {
                Target::find(&self.shared.client, *kind, secret).await
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

    /// Since when a registration has been seen to be deleted.
    fn since(&self, cluster: &str) -> Instant {
        *lock(&self.leaving).entry(cluster.to_owned()).or_insert_with(Instant::now)
    }
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
    desk: &Desk,
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
    let api = Api::<ClusterRegistration>::all(desk.shared.client.clone());
    let params = PatchParams::apply(told::MANAGER).force();
    let written = api.patch(&name, &params, &Patch::Apply(patch)).await;
    written.context(|| format!("recording the neighbours of {name}")).map(|_| ())
}
