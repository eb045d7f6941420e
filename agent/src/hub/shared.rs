//! What the controller's parts share: the hub's API server, what is known of each cluster, and metrics.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;

use super::Options;
use super::liveness::Seen;
use crate::backoff::Backoff;
use crate::serve::{Vitals, counter, gauge};

/// What the controller's parts share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) options: Options,
    /// What was seen of each cluster's Lease.
    pub(super) clusters: Mutex<HashMap<String, Seen>>,
    /// Clusters with a certificate request that has no answer yet.
    pub(super) asking: Mutex<HashSet<String>>,
    /// Whether the watch of Leases is down, or has not listed all yet: no cluster is judged meanwhile.
    pub(super) blind: AtomicBool,
    pub(super) failures: Failures<String>,
    pub(super) metrics: Metrics,
}

#[derive(Default)]
pub(super) struct Metrics {
    pub(super) leader: AtomicBool,
    pub(super) reconciled: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) approved: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) placed: AtomicU64,
}

/// The pauses of work that keeps failing, by what it is about.
#[derive(Default)]
pub(super) struct Failures<K>(Mutex<HashMap<K, Backoff>>);

impl<K: Hash + Eq> Failures<K> {
    /// How long to wait after another failure.
    pub(super) fn pause(&self, key: K) -> Duration {
        lock(&self.0).entry(key).or_insert_with(Backoff::slow).pause()
    }

    /// The work succeeded: the next failure is a first one.
    pub(super) fn clear(&self, key: &K) {
        lock(&self.0).remove(key);
    }
}

impl Shared {
    pub(super) fn new(client: Client, options: Options) -> Self {
        Self {
            client,
            options,
            clusters: Mutex::default(),
            asking: Mutex::default(),
            blind: AtomicBool::new(true),
            failures: Failures::default(),
            metrics: Metrics::default(),
        }
    }
}

/// Locks a mutex, even after a holder's panic: it guards plain values.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds one to a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Vitals for Shared {
    // A replica that waits is as healthy as the leader; one that lost the Lease has ended.
    fn healthy(&self) -> bool {
        true
    }

    fn metrics(&self) -> String {
        let clusters = lock(&self.clusters);
        let ready = clusters.values().filter(|seen| seen.ready).count();
        let metrics = &self.metrics;
        let leads = u8::from(metrics.leader.load(Ordering::Relaxed));
        [
            gauge("mcp_hub_leader", "1 while this replica acts.", leads),
            gauge("mcp_hub_leases", "Clusters whose Lease is watched.", clusters.len()),
            gauge("mcp_hub_clusters_ready", "Clusters that are Ready.", ready),
            counter("mcp_hub_reconciles_total", "Looks at one cluster.", &metrics.reconciled),
            counter("mcp_hub_errors_total", "Looks that failed.", &metrics.failed),
            counter("mcp_hub_writes_total", "Writes to a cluster's status.", &metrics.writes),
            counter("mcp_hub_placed_total", "Copies of manifest sets placed.", &metrics.placed),
            counter("mcp_hub_approved_total", "Certificate requests approved.", &metrics.approved),
            counter("mcp_hub_denied_total", "Certificate requests denied.", &metrics.denied),
        ]
        .concat()
    }
}
