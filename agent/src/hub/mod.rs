//! The hub's controller: it approves members' certificate requests, says which clusters are Ready, removes
//! the rights of clusters that leave, writes what adapters say, and places sets on clusters.
//!
//! Of several replicas one acts, by a Lease. It remembers one small entry for each cluster; work waits in
//! queues that hold each cluster once.

mod adapter_conditions;
mod adapters;
mod approve;
mod election;
mod liveness;
mod place;
mod reconcile;
mod requests;
mod shared;
mod target;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::Client;

use crate::error::{Error, Result};
use crate::serve::serve;

pub use approve::{Verdict, judge};
pub use liveness::{Liveness, Seen, liveness};
use shared::Shared;

/// The field manager of what the controller writes.
pub const MANAGER: &str = "mcp-hub";

/// How the controller runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this replica, as holder of the leader's Lease.
    pub identity: String,
    /// The namespace of that Lease.
    pub namespace: String,
    /// Where `/healthz` and `/metrics` are served; nowhere if `None`.
    pub listen: Option<SocketAddr>,
    /// How long a signer may take for an approved certificate, before tokens are used instead.
    pub issue_limit: Duration,
}

/// Waits to be the leader, then acts until it no longer is.
///
/// # Errors
/// If it lost its Lease, or nothing can listen on the address. The process should end then, so that the
/// next one begins with nothing stale.
pub async fn run(client: Client, options: Options) -> Result<()> {
    let shared = Arc::new(Shared::new(client, options));
    let act = async {
        let mut leadership = election::acquire(&shared.client, &shared.options).await;
        shared.metrics.leader.store(true, Ordering::Relaxed);
        tracing::info!(identity = shared.options.identity, "leads");
        tokio::select! {
            lost = leadership.keep() => Err(lost),
            () = watch::run(shared.clone()) => Ok(()),
            () = place::run(shared.clone()) => Ok(()),
        }
    };
    match shared.options.listen {
        None => act.await,
        Some(address) => tokio::select! {
            ended = act => ended,
            Err(error) = serve(address, shared.clone()) => {
                Err(Error::Refused(format!("listening on {address}: {error}")))
            }
        },
    }
}
