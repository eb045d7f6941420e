//! What the agent's loops share: both API servers, the registration as last seen, and metrics.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use super::Options;
use crate::api::ClusterRegistration;
use crate::serve::{Vitals, counter, gauge};

/// How long one call to either API server may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for the hub.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) client: Client,
    /// When the client's credential expires.
    pub(super) expires: Timestamp,
}

/// What the agent's loops share.
pub(super) struct Shared {
    /// The API server of the agent's own cluster.
    pub(super) member: Client,
    pub(super) options: Options,
    /// The UID of the namespace `kube-system`: which cluster this is.
    pub(super) cluster_id: String,
    pub(super) hub: watch::Sender<Option<Hub>>,
    pub(super) registration: watch::Sender<Option<Arc<ClusterRegistration>>>,
    started: Instant,
    /// When the API server's certificate expires, and when the agent last looked at it.
    pub(super) certificate: Mutex<Option<(Timestamp, Instant)>>,
    pub(super) metrics: Metrics,
}

#[derive(Default)]
pub(super) struct Metrics {
    /// Milliseconds from the agent's start to the last turn of the heartbeat's loop, whatever its result.
    last_turn: AtomicU64,
    pub(super) heartbeats: AtomicU64,
    pub(super) missed_heartbeats: AtomicU64,
    pub(super) reports: AtomicU64,
    pub(super) renewed: AtomicU64,
    pub(super) objects: AtomicU64,
    pub(super) object_failures: AtomicU64,
    pub(super) expires: AtomicI64,
    pub(super) renewal_fails: AtomicBool,
    pub(super) clock_differs: AtomicBool,
    /// Whether the agent cleans up: that, and reporting it to the hub, has no time limit.
    pub(super) departing: AtomicBool,
}

impl Shared {
    pub(super) fn new(member: Client, options: Options, cluster_id: String) -> Self {
        Self {
            member,
            options,
            cluster_id,
            hub: watch::Sender::new(None),
            registration: watch::Sender::new(None),
            started: Instant::now(),
            certificate: Mutex::default(),
            metrics: Metrics::default(),
        }
    }

    /// A client for the hub, once the agent has a credential.
    pub(super) fn hub(&self) -> Option<Client> {
        self.hub.borrow().as_ref().map(|hub| hub.client.clone())
    }

    /// The registration as last seen.
    pub(super) fn registration(&self) -> Option<Arc<ClusterRegistration>> {
        self.registration.borrow().clone()
    }

    /// Whether a registration is of this cluster, not of another one of the same name.
    pub(super) fn is_own(&self, registration: &ClusterRegistration) -> bool {
        let id = registration.spec.cluster_id.as_ref();
        id.is_none_or(|id| *id == self.cluster_id)
    }

    /// How often the Lease is renewed.
    pub(super) fn interval(&self) -> Duration {
        self.registration().map_or(Duration::from_secs(30), |found| found.spec.interval())
    }

    /// Notes that the heartbeat's loop still turns.
    pub(super) fn turned(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.metrics.last_turn.store(now, Ordering::Relaxed);
    }
}

impl Vitals for Shared {
    // Whether the loop turns, not whether the hub answers: a restart would not bring the hub back.
    fn healthy(&self) -> bool {
        let turned = Duration::from_millis(self.metrics.last_turn.load(Ordering::Relaxed));
        let quiet = self.started.elapsed().saturating_sub(turned);
        self.metrics.departing.load(Ordering::Relaxed)
            || quiet < self.interval().saturating_mul(3).max(Duration::from_mins(2))
    }

    fn metrics(&self) -> String {
        let metrics = &self.metrics;
        let fails = u8::from(metrics.renewal_fails.load(Ordering::Relaxed));
        let expires = metrics.expires.load(Ordering::Relaxed);
        let missed = &metrics.missed_heartbeats;
        [
            counter("mcp_agent_syncs_total", "Renewals of the Lease.", &metrics.heartbeats),
            counter("mcp_agent_syncs_missed_total", "Renewals that failed.", missed),
            counter("mcp_agent_reports_total", "Writes of the status.", &metrics.reports),
            counter("mcp_agent_renewals_total", "Credentials obtained.", &metrics.renewed),
            gauge("mcp_agent_renewal_fails", "1 while a renewal fails.", fails),
            gauge("mcp_agent_credential_expires", "Unix time of the credential's end.", expires),
            counter("mcp_agent_objects_applied_total", "Objects applied.", &metrics.objects),
            counter("mcp_agent_objects_failed_total", "Objects refused.", &metrics.object_failures),
        ]
        .concat()
    }
}
