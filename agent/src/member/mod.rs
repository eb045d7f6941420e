//! The agent in a member: it keeps itself known to the hub, says how its cluster is, and applies what
//! the hub wants there. All connections go out; the private key never leaves the cluster.
//!
//! A hub that is away for days costs an attempt or two each interval and watches that are tried ever
//! more seldom, up to half a minute apart; what is remembered does not grow.

mod backoff;
mod certificate;
mod depart;
mod identity;
mod inventory;
mod keep;
mod manifests;
mod observe;
mod sync;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use tokio::sync::watch;

use crate::api::ClusterRegistration;
use crate::error::{Context as _, Error, Result};
use crate::install::{AGENT_NAMESPACE, AGENT_SECRET};
use crate::serve::{Vitals, counter, gauge, serve};

use backoff::Backoff;
pub use certificate::ApiServer;
pub use keep::{Keep, Kept};

/// The field manager of all that the agent writes, on either side.
pub const MANAGER: &str = "mcp-agent";

/// How the agent runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's name at the hub.
    pub cluster: String,
    /// Who this agent is, in its Lease.
    pub identity: String,
    /// Its own namespace.
    pub namespace: String,
    /// The Secret there that holds its credential.
    pub secret: String,
    /// Where `/healthz` and `/metrics` are served; nowhere if `None`.
    pub listen: Option<SocketAddr>,
    /// The share of a credential's life that is left when it is renewed.
    pub renew_at: f64,
    /// How long the hub may take for an approved certificate, before a token is asked for.
    pub issue_limit: Duration,
    /// The cluster's own API server, whose certificate is watched; not at all if `None`.
    pub api_server: Option<ApiServer>,
}

impl Options {
    /// The options of an agent as slipway installs it.
    #[must_use]
    pub fn new(cluster: &str, identity: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            identity: identity.to_owned(),
            namespace: AGENT_NAMESPACE.to_owned(),
            secret: AGENT_SECRET.to_owned(),
            listen: None,
            renew_at: 0.2,
            issue_limit: Duration::from_mins(1),
            api_server: None,
        }
    }
}

/// A hub, as this agent reaches it.
#[derive(Clone)]
struct Hub {
    client: Client,
    /// When the credential runs out.
    expires: Timestamp,
}

/// What the agent's parts share.
struct Shared {
    member: Client,
    options: Options,
    /// The UID of the namespace `kube-system`: which cluster this is.
    cluster_id: String,
    hub: watch::Sender<Option<Hub>>,
    registration: watch::Sender<Option<Arc<ClusterRegistration>>>,
    started: Instant,
    /// When the API server's certificate runs out, and when that was last looked at.
    certificate: Mutex<Option<(Timestamp, Instant)>>,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    /// Milliseconds from the start to the last turn of the loop, whatever came of it.
    turned: AtomicU64,
    synced: AtomicU64,
    missed: AtomicU64,
    reports: AtomicU64,
    renewed: AtomicU64,
    objects: AtomicU64,
    object_failures: AtomicU64,
    expires: AtomicI64,
    renewal_fails: AtomicBool,
    clock_differs: AtomicBool,
    /// Cleaning up, and telling the hub of it, may take as long as it takes.
    departs: AtomicBool,
}

/// Runs until the cluster's registration is deleted and everything is cleaned up.
///
/// # Errors
/// If nothing can listen on the address. Whatever else fails is tried again, however long it takes.
pub async fn run(member: Client, options: Options) -> Result<()> {
    let cluster_id = cluster_id(&member).await;
    let (address, keep) = (options.listen, Keep::new(&member, &options));
    let shared = Arc::new(Shared {
        member,
        options,
        cluster_id,
        hub: watch::Sender::new(None),
        registration: watch::Sender::new(None),
        started: Instant::now(),
        certificate: Mutex::default(),
        figures: Figures::default(),
    });
    let work = async {
        if keep.departing().await {
            return depart::resume(&shared, &keep).await;
        }
        tokio::select! {
            () = identity::run(&shared, &keep) => {}
            () = sync::run(&shared) => {}
            () = manifests::run(&shared) => {}
            () = follow(&shared) => {}
            () = deleted(&shared) => {}
        }
        depart::depart(&shared, &keep).await;
    };
    match address {
        None => work.await,
        Some(address) => tokio::select! {
            () = work => {}
            Err(error) = serve(address, shared.clone()) => {
                return Err(Error::Refused(format!("listening on {address}: {error}")));
            }
        },
    }
    Ok(())
}

/// The UID of this cluster, as soon as its API server tells it.
async fn cluster_id(member: &Client) -> String {
    let mut backoff = Backoff::new();
    loop {
        let api = Api::<Namespace>::all(member.clone());
        let found = api.get("kube-system").await.context(|| "reading kube-system".to_owned());
        match found {
            Ok(found) => return found.metadata.uid.unwrap_or_default(),
            Err(error) => backoff.wait(&error).await,
        }
    }
}

/// Follows the cluster's registration, with whatever credential is valid.
async fn follow(shared: &Shared) {
    let mut hubs = shared.hub.subscribe();
    loop {
        let Some(hub) = hubs.borrow_and_update().clone() else {
            let _ = hubs.changed().await;
            continue;
        };
        let api = Api::<ClusterRegistration>::all(hub.client);
        let stream = watch_object(api, &shared.options.cluster).default_backoff();
        let mut stream = std::pin::pin!(stream);
        loop {
            tokio::select! {
                found = stream.next() => match found {
                    Some(Ok(found)) => { shared.registration.send_replace(found.map(Arc::new)); }
                    Some(Err(error)) => tracing::warn!(%error, "cannot watch the registration"),
                    None => break,
                },
                // A renewed credential: the old one's connections end with it.
                _ = hubs.changed() => break,
            }
        }
    }
}

/// Waits until this cluster's own registration is being deleted.
async fn deleted(shared: &Shared) {
    let mut registration = shared.registration.subscribe();
    let gone = |found: &Option<Arc<ClusterRegistration>>| {
        found.as_ref().is_some_and(|found| {
            found.metadata.deletion_timestamp.is_some() && shared.is_own(found)
        })
    };
    // The sender lives as long as this does.
    let _ = registration.wait_for(gone).await;
}

impl Shared {
    /// The hub, once there is a credential for it.
    fn hub(&self) -> Option<Client> {
        self.hub.borrow().as_ref().map(|hub| hub.client.clone())
    }

    fn registration(&self) -> Option<Arc<ClusterRegistration>> {
        self.registration.borrow().clone()
    }

    /// Whether a registration is of this very cluster, not of one of the same name.
    fn is_own(&self, registration: &ClusterRegistration) -> bool {
        let id = registration.spec.cluster_id.as_ref();
        id.is_none_or(|id| *id == self.cluster_id)
    }

    fn interval(&self) -> Duration {
        self.registration().map_or(Duration::from_secs(30), |found| found.spec.interval())
    }
}

impl Vitals for Shared {
    // Whether the loop turns, not whether the hub answers: a restart would not bring a hub back.
    fn healthy(&self) -> bool {
        let turned = Duration::from_millis(self.figures.turned.load(Ordering::Relaxed));
        let quiet = self.started.elapsed().saturating_sub(turned);
        self.figures.departs.load(Ordering::Relaxed)
            || quiet < self.interval().saturating_mul(3).max(Duration::from_mins(2))
    }

    fn metrics(&self) -> String {
        let figures = &self.figures;
        let fails = u8::from(figures.renewal_fails.load(Ordering::Relaxed));
        let expires = figures.expires.load(Ordering::Relaxed);
        [
            counter("mcp_agent_syncs_total", "Renewals of the Lease.", &figures.synced),
            counter("mcp_agent_syncs_missed_total", "Renewals that failed.", &figures.missed),
            counter("mcp_agent_reports_total", "Writes of the status.", &figures.reports),
            counter("mcp_agent_renewals_total", "Credentials obtained.", &figures.renewed),
            gauge("mcp_agent_renewal_fails", "1 while a renewal fails.", fails),
            gauge("mcp_agent_credential_expires", "Unix time of the credential's end.", expires),
            counter("mcp_agent_objects_applied_total", "Objects applied.", &figures.objects),
            counter("mcp_agent_objects_failed_total", "Objects refused.", &figures.object_failures),
        ]
        .concat()
    }
}
