//! What the controller watches: registrations, certificate requests, and the Leases of members.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::channel::mpsc;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};

use super::{Seen, Shared, count, lock, neighbours};
use crate::access::{self, AGENT, SIGNER};
use crate::api::ClusterRegistration;
use crate::error::Error;

/// How many clusters are worked on at once.
const WORKERS: u16 = 16;
/// How many clusters that came back may wait to be looked at.
const QUEUE: usize = 1024;
/// How soon a watch that failed is begun anew, at first and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest time until a failed look is repeated.
const BACKOFF: Duration = Duration::from_mins(2);

/// Works until it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let (sender, returned) = mpsc::channel(QUEUE);
    let registrations = Api::<ClusterRegistration>::all(shared.client.clone());
    let requests = Api::<CertificateSigningRequest>::all(shared.client.clone());
    let signer = format!("spec.signerName={SIGNER}");
    let asking = shared.clone();
    let controller = Controller::new(registrations, watcher::Config::default());
    let (told, neighbours) = neighbours::queue(shared.clone(), controller.store());
    let work = controller
        .with_config(Config::default().concurrency(WORKERS))
        .watches(requests, watcher::Config::default().fields(&signer), move |request| {
            asks(&asking, &request)
        })
        .reconcile_on(returned)
        .run(
            move |registration, shared| {
                told(&registration);
                super::reconcile::reconcile(registration, shared)
            },
            again,
            shared.clone(),
        )
        .for_each(|done| {
            // A failed look is told by `again`; this is about the watches.
            if let Err(controller::Error::QueueError(error)) = done {
                tracing::warn!(%error, "cannot watch");
            }
            std::future::ready(())
        });
    tokio::join!(work, leases(&shared, sender), neighbours);
}

/// Remembers the cluster whose request waits for an answer.
fn asks(
    shared: &Shared,
    request: &CertificateSigningRequest,
) -> Option<ObjectRef<ClusterRegistration>> {
    let name = request.name_any();
    let cluster = access::request_cluster(&name)?;
    let status = request.status.as_ref();
    let issued = status.is_some_and(|status| status.certificate.is_some());
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ended = conditions.iter().any(|one| one.type_ == "Denied" || one.type_ == "Failed");
    if issued || ended {
        return None;
    }
    lock(&shared.asking).insert(cluster.to_owned());
    Some(ObjectRef::new(cluster))
}

/// Follows all members' Leases, by a list anew after each error: a watch that goes on where it ended says
/// nothing of those that changed no more, and until something is said nobody is judged.
async fn leases(shared: &Shared, mut sender: mpsc::Sender<ObjectRef<ClusterRegistration>>) {
    let mut wait = FIRST;
    loop {
        if let Err(error) = followed(shared, &mut sender, &mut wait).await {
            shared.blind.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "cannot watch the members' Leases");
        }
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
        wait = wait.saturating_mul(2).min(LONGEST);
    }
}

/// Lists and follows the Leases until that fails. Only a cluster that was not known to live is looked at
/// at once; of the others, the time of the last change is enough.
async fn followed(
    shared: &Shared,
    sender: &mut mpsc::Sender<ObjectRef<ClusterRegistration>>,
    wait: &mut Duration,
) -> Result<(), watcher::Error> {
    // A Lease that cannot be read is its member's own trouble, not everybody's.
    let api = Api::<DeserializeGuard<Lease>>::all(shared.client.clone());
    let config = watcher::Config::default().fields(&format!("metadata.name={AGENT}"));
    let mut events = watcher(api, config).boxed();
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        let (lease, listing, gone) = match event? {
            Event::Init => {
                listed.clear();
                continue;
            }
            Event::InitDone => {
                let (now, mut clusters) = (Instant::now(), lock(&shared.clusters));
                clusters.retain(|cluster, _| listed.contains(cluster));
                if shared.blind.swap(false, Ordering::Relaxed) {
                    clusters.values_mut().for_each(|seen| seen.forgive(now));
                }
                *wait = FIRST;
                continue;
            }
            Event::InitApply(DeserializeGuard(lease)) => (lease, true, false),
            Event::Apply(DeserializeGuard(lease)) => (lease, false, false),
            Event::Delete(DeserializeGuard(lease)) => (lease, false, true),
        };
        let lease = match lease {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(%error, "a Lease cannot be read");
                continue;
            }
        };
        let namespace = lease.namespace().unwrap_or_default();
        let Some(cluster) = access::cluster(&namespace) else { continue };
        if listing {
            listed.insert(cluster.to_owned());
        }
        if gone {
            lock(&shared.clusters).remove(cluster);
        } else if look(shared, cluster, &lease) {
            use futures::SinkExt as _;
            // The receiver lives as long as this does.
            let _ = sender.send(ObjectRef::new(cluster)).await;
        }
    }
    Ok(())
}

/// Notes what a Lease says. Returns whether the cluster is worth a look now.
fn look(shared: &Shared, cluster: &str, lease: &Lease) -> bool {
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    let (mut clusters, now) = (lock(&shared.clusters), Instant::now());
    match clusters.get_mut(cluster) {
        None => {
            clusters.insert(cluster.to_owned(), Seen::found(renewed, now));
            true
        }
        Some(seen) => seen.look(renewed, now) && (!seen.ready || renewed.is_none()),
    }
}

/// When a look that failed is repeated.
fn again(registration: Arc<ClusterRegistration>, error: &Error, shared: Arc<Shared>) -> Action {
    count(&shared.figures.failed);
    let cluster = registration.name_any();
    let wait = backoff(&shared.failures, &cluster);
    tracing::warn!(cluster, %error, leader = shared.figures.leader.load(Ordering::Relaxed), "will try again");
    Action::requeue(wait)
}

/// How long to wait after another failure: longer each time, and not all at once.
pub(super) fn backoff(failures: &Mutex<HashMap<String, u32>>, name: &str) -> Duration {
    let times = {
        let mut failures = lock(failures);
        let times = failures.entry(name.to_owned()).or_default();
        *times = times.saturating_add(1);
        *times
    };
    let wait = Duration::from_secs(1).saturating_mul(1 << times.min(7)).min(BACKOFF);
    wait.mul_f64(rand::random_range(0.5..1.0))
}
