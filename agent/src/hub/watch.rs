//! What the controller watches: registrations, certificate requests, and the Leases of members.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};

use super::liveness::Seen;
use super::shared::{Shared, count, lock};
use super::{adapters, reconcile};
use crate::access::{self, AGENT, SIGNER};
use crate::api::ClusterRegistration;
use crate::backoff::Backoff;
use crate::error::Error;

/// How many clusters are worked on at once.
const WORKERS: u16 = 16;
/// How many clusters that came back may wait for a look.
const QUEUE: usize = 1024;
/// The pauses before a failed watch of Leases begins anew, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Watches, and reconciles clusters, until it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let (sender, returned) = mpsc::channel(QUEUE);
    let registrations = Api::<ClusterRegistration>::all(shared.client.clone());
    let requests = Api::<CertificateSigningRequest>::all(shared.client.clone());
    let signer = format!("spec.signerName={SIGNER}");
    let asking = shared.clone();
    let controller = Controller::new(registrations, watcher::Config::default());
    let (enqueue, adapters) = adapters::queue(shared.clone(), controller.store());
    let work = controller
        .with_config(Config::default().concurrency(WORKERS))
        .watches(requests, watcher::Config::default().fields(&signer), move |request| {
            asks(&asking, &request)
        })
        .reconcile_on(returned)
        .run(
            move |registration, shared| {
                enqueue(&registration);
                reconcile::reconcile(registration, shared)
            },
            retry,
            shared.clone(),
        )
        .for_each(|done| {
            // `retry` has logged failures of reconciling; this is about the watches.
            if let Err(controller::Error::QueueError(error)) = done {
                tracing::warn!(%error, "cannot watch");
            }
            std::future::ready(())
        });
    tokio::join!(work, leases(&shared, sender), adapters);
}

/// Notes the cluster of a request that waits for an answer.
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

/// Watches all members' Leases, and lists them anew after each error. A watch that resumed where it ended
/// would say nothing of Leases that no longer change, and no cluster is judged before its Lease was seen.
async fn leases(shared: &Shared, mut sender: mpsc::Sender<ObjectRef<ClusterRegistration>>) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        if let Err(error) = watch_leases(shared, &mut sender, &mut backoff).await {
            shared.blind.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "cannot watch the members' Leases");
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Lists and watches the Leases until that fails.
async fn watch_leases(
    shared: &Shared,
    sender: &mut mpsc::Sender<ObjectRef<ClusterRegistration>>,
    backoff: &mut Backoff,
) -> Result<(), watcher::Error> {
    // Guarded, so that one Lease that cannot be parsed does not end the watch of all.
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
                backoff.reset();
                continue;
            }
            Event::InitApply(DeserializeGuard(lease)) => (lease, true, false),
            Event::Apply(DeserializeGuard(lease)) => (lease, false, false),
            Event::Delete(DeserializeGuard(lease)) => (lease, false, true),
        };
        let lease = match lease {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(%error, "cannot parse a Lease");
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
            // The receiver lives as long as this future.
            let _ = sender.send(ObjectRef::new(cluster)).await;
        }
    }
    Ok(())
}

/// Notes what a Lease says. Returns whether its cluster is to be looked at now: only one that was not Ready,
/// or is not joined any more. Of others the time of the last change is enough.
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

/// When work that failed is repeated.
fn retry(registration: Arc<ClusterRegistration>, error: &Error, shared: Arc<Shared>) -> Action {
    count(&shared.metrics.failed);
    let cluster = registration.name_any();
    let pause = shared.failures.pause(cluster.clone());
    let leader = shared.metrics.leader.load(Ordering::Relaxed);
    tracing::warn!(cluster, %error, leader, ?pause, "will try again");
    Action::requeue(pause)
}
