//! Placement: sets of the namespace `mcp-fleet` are copied to the clusters that match their selectors, and
//! their status says what came of them there.
//!
//! The controller remembers the sets, and a few facts of each cluster and each copy. A watch that sees
//! something new wakes the work, which waits in a queue that holds each set once, and writes what differs.

mod known;
mod plan;
mod report;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::stream;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::controller::{self, Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use serde_json::json;

use self::known::Known;
use self::plan::{Cluster, Placed, Step};
use super::MANAGER;
use super::shared::{Failures, Shared, count, lock};
use crate::access;
use crate::api::{ManifestSet, PLACED};
use crate::apply::{apply_status, delete};
use crate::error::{Context as _, Error, Result};
use crate::install::FLEET_NAMESPACE;

/// How many sets are worked on at once.
const SETS: u16 = 4;
/// How many copies of one set are written at once.
const COPIES: usize = 8;
/// How many wake-ups may wait.
const QUEUE: usize = 64;
/// The shortest time between two writes of a set's status: clusters report one by one.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What placement remembers.
struct Placing {
    shared: Arc<Shared>,
    clusters: Mutex<Known<String, Cluster>>,
    /// By the names of set and cluster.
    sets: Mutex<Known<(String, String), Placed>>,
    failures: Failures<String>,
    /// When each set's status was last written.
    written: Mutex<HashMap<String, Instant>>,
}

/// Places sets until it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let api = Api::<ManifestSet>::namespaced(shared.client.clone(), FLEET_NAMESPACE);
    let placing = Arc::new(Placing {
        shared,
        clusters: Mutex::new(Known::new()),
        sets: Mutex::new(Known::new()),
        failures: Failures::default(),
        written: Mutex::default(),
    });
    let (sender, woken) = mpsc::channel(QUEUE);
    let controller = Controller::new(api, watcher::Config::default());
    let store = controller.store();
    let named = move |wake: watch::Wake| {
        let all = || store.state().iter().map(|set| set.name_any()).collect();
        let names: Vec<String> = wake.map_or_else(all, |name| vec![name]);
        stream::iter(names.into_iter().map(|name| ObjectRef::new(&name).within(FLEET_NAMESPACE)))
    };
    let work = controller
        .with_config(Config::default().concurrency(SETS))
        .reconcile_on(woken.flat_map(named))
        .run(reconcile, retry, placing.clone())
        .for_each(|done| {
            // `retry` has logged failures; that a woken set is not one of the fleet's is none.
            if let Err(controller::Error::QueueError(error)) = done {
                tracing::warn!(%error, "cannot watch the fleet's sets");
            }
            std::future::ready(())
        });
    let clusters = watch::clusters(placing.clone(), sender.clone());
    tokio::join!(work, clusters, watch::sets(placing, sender));
}

/// Makes the copies of one set what they are to be, and writes its status.
async fn reconcile(set: Arc<ManifestSet>, placing: Arc<Placing>) -> Result<Action> {
    let name = set.name_any();
    // Nothing is known until both watches have listed all; each wakes this again then.
    let Some(steps) = placing
        .with(&name, |clusters, placed| plan::steps(&set, &plan::targets(&set, clusters), placed))
    else {
        return Ok(Action::await_change());
    };
    let going = set.metadata.deletion_timestamp.is_some();
    let marked = set.finalizers().iter().any(|one| one == PLACED);
    if !going && !marked {
        let all = set.finalizers().iter().map(String::as_str).chain([PLACED]).collect();
        set_finalizers(&placing, &set, all).await?;
    }
    let done = stream::iter(steps).map(|(cluster, step)| {
        let (placing, set) = (placing.clone(), set.clone());
        async move {
            let done = carry_out(&placing, &set, &cluster, step).await;
            (cluster, done)
        }
    });
    let done: Vec<(String, Result<()>)> = done.buffer_unordered(COPIES).collect().await;
    let (mut failed, mut first) = (HashMap::new(), None);
    for (cluster, done) in done {
        if let Err(error) = done {
            failed.insert(cluster, error.to_string());
            first = first.or(Some(error));
        }
    }
    let next = if going { None } else { write_status(&placing, &set, &failed).await? };
    if let Some(error) = first {
        return Err(error);
    }
    placing.failures.clear(&name);
    if going && marked {
        let others = set.finalizers().iter().map(String::as_str);
        set_finalizers(&placing, &set, others.filter(|one| *one != PLACED).collect()).await?;
        lock(&placing.written).remove(&name);
        tracing::info!(set = name, "removed from all clusters");
    }
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

impl Placing {
    /// Calls `judge` with what is known of all clusters, and of the sets of this name in them; `None` until
    /// that is known.
    fn with<T>(
        &self,
        set: &str,
        judge: impl FnOnce(&BTreeMap<String, Cluster>, &BTreeMap<&str, &Placed>) -> T,
    ) -> Option<T> {
        let (clusters, sets) = (lock(&self.clusters), lock(&self.sets));
        let named = sets.get()?.range((set.to_owned(), String::new())..);
        let named = named.take_while(|((name, _), _)| name == set);
        let placed = named.map(|((_, cluster), placed)| (cluster.as_str(), placed)).collect();
        Some(judge(clusters.get()?, &placed))
    }
}

/// Does one step in one cluster's namespace.
async fn carry_out(placing: &Placing, set: &ManifestSet, cluster: &str, step: Step) -> Result<()> {
    let (name, namespace) = (set.name_any(), access::namespace(cluster));
    let api = Api::<ManifestSet>::namespaced(placing.shared.client.clone(), &namespace);
    let key = (name.clone(), cluster.to_owned());
    if step == Step::Write {
        let params = PatchParams::apply(MANAGER).force();
        let written = api.patch(&name, &params, &Patch::Apply(plan::copy(set, cluster))).await;
        let written = written.context(|| format!("copying {name} to {namespace}"))?;
        lock(&placing.sets).put(key, Placed::of(&written));
    } else {
        if step == Step::Retire {
            let patch = json!({ "spec": { "deletionPolicy": set.spec.deletion_policy } });
            let written = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
            written.context(|| format!("changing {name} in {namespace}"))?;
        }
        delete(&api, &name, &DeleteParams::default()).await?;
        lock(&placing.sets).forget(&key);
    }
    count(&placing.shared.metrics.placed);
    tracing::info!(set = name, cluster, ?step, "placed");
    Ok(())
}

/// Writes a set's status, if that changed. Returns how long to wait where it was written just now.
async fn write_status(
    placing: &Placing,
    set: &ManifestSet,
    failed: &HashMap<String, String>,
) -> Result<Option<Duration>> {
    let name = set.name_any();
    let status = placing.with(&name, |clusters, placed| {
        report::status(set, &plan::targets(set, clusters), placed, failed)
    });
    let Some(status) = status.filter(|status| set.status.as_ref() != Some(status)) else {
        return Ok(None);
    };
    let last = lock(&placing.written).get(&name).copied();
    let left = last.map_or(Duration::ZERO, |last| STATUS_INTERVAL.saturating_sub(last.elapsed()));
    if !left.is_zero() {
        return Ok(Some(left));
    }
    let api = Api::<ManifestSet>::namespaced(placing.shared.client.clone(), FLEET_NAMESPACE);
    let written = apply_status(&api, &name, MANAGER, &status).await;
    written.context(|| format!("writing the status of {name}"))?;
    lock(&placing.written).insert(name, Instant::now());
    Ok(None)
}

/// Sets the finalizers of a set, unless somebody changed it meanwhile.
async fn set_finalizers(placing: &Placing, set: &ManifestSet, all: Vec<&str>) -> Result<()> {
    let api = Api::<ManifestSet>::namespaced(placing.shared.client.clone(), FLEET_NAMESPACE);
    let patch = json!({ "metadata": {
        "resourceVersion": set.resource_version(), "finalizers": all,
    }});
    let name = set.name_any();
    let written = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    written.context(|| format!("setting the finalizers of {name}")).map(drop)
}

/// When work that failed is repeated.
fn retry(set: Arc<ManifestSet>, error: &Error, placing: Arc<Placing>) -> Action {
    count(&placing.shared.metrics.failed);
    let set = set.name_any();
    let pause = placing.failures.pause(set.clone());
    tracing::warn!(set, %error, ?pause, "will try again");
    Action::requeue(pause)
}
