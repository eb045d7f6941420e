//! The agent in a member: it sends heartbeats to the hub, reports how its cluster is, and applies manifest
//! sets there. It opens all connections itself; the private key never leaves the cluster.
//!
//! While the hub is away, even for days, the agent makes an attempt or two each interval, and watches are
//! retried with pauses of up to a minute. Nothing is queued meanwhile, so memory does not grow.

mod certificate;
mod credential_store;
mod depart;
mod heartbeat;
mod identity;
mod inventory;
mod manifests;
mod observe;
mod report;
mod set;
mod shared;
mod signing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;

use crate::api::ClusterRegistration;
use crate::backoff::Backoff;
use crate::error::{Context as _, Error, Result};
use crate::install::{AGENT_NAMESPACE, AGENT_SECRET};
use crate::serve::serve;

pub use certificate::ApiServer;
pub use credential_store::{CredentialStore, StoredCredential};
use shared::Shared;

/// The field manager of everything that the agent writes, on either side.
pub const MANAGER: &str = "mcp-agent";

/// How the agent runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's name at the hub.
    pub cluster: String,
    /// Name of this agent, as holder of its Lease.
    pub identity: String,
    /// The agent's own namespace.
    pub namespace: String,
    /// The Secret there with its credential.
    pub secret: String,
    /// Where `/healthz` and `/metrics` are served; nowhere if `None`.
    pub listen: Option<SocketAddr>,
    /// The share of a credential's life that is left when it is renewed.
    pub renew_at: f64,
    /// How long the hub may take to sign an approved certificate, before the agent asks for a token.
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

/// Runs until the cluster's registration is deleted and everything is cleaned up.
///
/// # Errors
/// If nothing can listen on the address. Whatever else fails is retried, however long it takes.
pub async fn run(member: Client, options: Options) -> Result<()> {
    let cluster_id = cluster_id(&member).await;
    let (address, store) = (options.listen, CredentialStore::new(&member, &options));
    let shared = Arc::new(Shared::new(member, options, cluster_id));
    let work = async {
        if store.departing().await {
            return depart::resume(&shared, &store).await;
        }
        tokio::select! {
            () = identity::run(&shared, &store) => {}
            () = heartbeat::run(&shared) => {}
            () = manifests::run(&shared) => {}
            () = watch_registration(&shared) => {}
            () = deleted(&shared) => {}
        }
        depart::depart(&shared, &store).await;
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

/// The UID of this cluster's namespace `kube-system`, as soon as its API server answers.
async fn cluster_id(member: &Client) -> String {
    let mut backoff = Backoff::slow();
    loop {
        let api = Api::<Namespace>::all(member.clone());
        let found = api.get("kube-system").await.context(|| "reading kube-system".to_owned());
        match found {
            Ok(found) => return found.metadata.uid.unwrap_or_default(),
            Err(error) => backoff.wait(&error).await,
        }
    }
}

/// Watches the cluster's registration, with whatever credential is valid.
async fn watch_registration(shared: &Shared) {
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
                // The credential was renewed: connections with the old one end.
                _ = hubs.changed() => break,
            }
        }
    }
}

/// Waits until this cluster's own registration is being deleted.
async fn deleted(shared: &Shared) {
    let mut registration = shared.registration.subscribe();
    let deleted = |found: &Option<Arc<ClusterRegistration>>| {
        found.as_ref().is_some_and(|found| found.is_being_deleted() && shared.is_own(found))
    };
    // `shared` has the sender, so this cannot fail.
    let _ = registration.wait_for(deleted).await;
}
