//! The hub's controller: lets members in, tells who lives, takes away the rights of who leaves, and
//! places the fleet's sets.
//!
//! Of several replicas one acts, by a Lease. It holds one small entry for each cluster; work waits in
//! a queue that holds each cluster once.

mod approve;
mod election;
mod export;
mod liveness;
mod neighbours;
mod place;
mod reconcile;
mod told;
mod watch;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;

use crate::error::Result;
use crate::serve::{Vitals, counter, gauge, serve};

pub use approve::{Verdict, judge};
pub use liveness::{Life, Seen, life};

/// The field manager of what the controller writes.
pub const MANAGER: &str = "mcp-hub";

/// How the controller runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who this replica is, in the Lease of the leader.
    pub identity: String,
    /// The namespace of that Lease.
    pub namespace: String,
    /// Where `/healthz` and `/metrics` are served; nowhere if `None`.
    pub listen: Option<SocketAddr>,
    /// How long a signer may take for an approved certificate, before tokens are used instead.
    pub issue_limit: Duration,
}

/// What the controller's parts share.
struct Shared {
    client: Client,
    options: Options,
    clusters: Mutex<HashMap<String, Seen>>,
    /// Clusters with a certificate request that nobody has answered yet.
    asking: Mutex<HashSet<String>>,
    /// Whether the watch of Leases is down, or has not listed all yet: then nothing is known of anybody.
    blind: AtomicBool,
    /// How often in a row a cluster's work failed, for the time until the next try.
    failures: Mutex<HashMap<String, u32>>,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    leader: AtomicBool,
    reconciled: AtomicU64,
    failed: AtomicU64,
    approved: AtomicU64,
    denied: AtomicU64,
    writes: AtomicU64,
    placed: AtomicU64,
}

/// A lock whose holder panicked still guards plain values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Waits to be the leader, then acts until it no longer is one.
///
/// # Errors
/// If it lost its Lease, or nothing can listen on the address. The process should end then: its next
/// life begins with nothing stale.
pub async fn run(client: Client, options: Options) -> Result<()> {
    let shared = Arc::new(Shared {
        client,
        clusters: Mutex::default(),
        asking: Mutex::default(),
        blind: AtomicBool::new(true),
        failures: Mutex::default(),
        figures: Figures::default(),
        options,
    });
    let act = async {
        let mut tenure = election::acquire(&shared.client, &shared.options).await;
        shared.figures.leader.store(true, Ordering::Relaxed);
        tracing::info!(identity = shared.options.identity, "leads");
        tokio::select! {
            lost = tenure.hold() => Err(lost),
            () = watch::run(shared.clone()) => Ok(()),
            () = place::run(shared.clone()) => Ok(()),
        }
    };
    match shared.options.listen {
        None => act.await,
        Some(address) => tokio::select! {
            ended = act => ended,
            Err(error) = serve(address, shared.clone()) => {
                Err(crate::error::Error::Refused(format!("listening on {address}: {error}")))
            }
        },
    }
}

impl Vitals for Shared {
    // A replica that waits is as healthy as one that leads; one that lost its Lease has ended.
    fn healthy(&self) -> bool {
        true
    }

    fn metrics(&self) -> String {
        let clusters = lock(&self.clusters);
        let ready = clusters.values().filter(|seen| seen.ready).count();
        let figures = &self.figures;
        let leads = u8::from(figures.leader.load(Ordering::Relaxed));
        [
            gauge("mcp_hub_leader", "1 while this replica acts.", leads),
            gauge("mcp_hub_leases", "Clusters whose Lease is watched.", clusters.len()),
            gauge("mcp_hub_clusters_ready", "Clusters that live.", ready),
            counter("mcp_hub_reconciles_total", "Looks at one cluster.", &figures.reconciled),
            counter("mcp_hub_errors_total", "Looks that failed.", &figures.failed),
            counter("mcp_hub_writes_total", "Writes to a cluster's status.", &figures.writes),
            counter("mcp_hub_placed_total", "Copies of manifest sets placed.", &figures.placed),
            counter("mcp_hub_approved_total", "Certificate requests approved.", &figures.approved),
            counter("mcp_hub_denied_total", "Certificate requests denied.", &figures.denied),
        ]
        .concat()
    }
}
