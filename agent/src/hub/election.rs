//! One leader among the controller's replicas, by a Lease with Kubernetes' own timing.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};

use super::Options;
use crate::error::Error;

/// The Lease's name.
const LEASE: &str = "mcp-hub";
/// A Lease that did not change for so long is free; kube-controller-manager's own figures.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long acts no more.
const RENEW: Duration = Duration::from_secs(10);
/// How often a leader renews, and others look.
const RETRY: Duration = Duration::from_secs(2);

/// A replica's time as the leader.
pub(super) struct Tenure {
    candidate: Candidate,
    renewed: Instant,
}

struct Candidate {
    api: Api<Lease>,
    identity: String,
    /// The Lease's version, and when this replica first saw it.
    seen: Option<(Option<String>, Instant)>,
}

/// Waits until this replica is the leader.
pub(super) async fn acquire(client: &Client, options: &Options) -> Tenure {
    let api = Api::namespaced(client.clone(), &options.namespace);
    let mut candidate = Candidate { api, identity: options.identity.clone(), seen: None };
    loop {
        let began = Instant::now();
        match tokio::time::timeout(RENEW, candidate.attempt()).await {
            Ok(Ok(true)) => return Tenure { candidate, renewed: began },
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot ask for the leader's Lease"),
            Err(_) => tracing::warn!("the API server does not answer"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Tenure {
    /// Renews until that fails for too long, or somebody else leads.
    pub(super) async fn hold(&mut self) -> Error {
        loop {
            tokio::time::sleep(RETRY).await;
            let left = RENEW.saturating_sub(self.renewed.elapsed());
            let began = Instant::now();
            match tokio::time::timeout(left, self.candidate.attempt()).await {
                Ok(Ok(true)) => self.renewed = began,
                Ok(Ok(false)) => return Error::Refused("another replica leads".to_owned()),
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the leader's Lease"),
                Err(_) => {}
            }
            if self.renewed.elapsed() >= RENEW {
                return Error::Timeout("renewing the leader's Lease".to_owned(), RENEW);
            }
        }
    }
}

impl Candidate {
    /// Takes or renews the Lease if it is this replica's, free or expired. Returns whether it has it.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let post = PostParams::default();
        let Some(found) = self.api.get_opt(LEASE).await? else {
            let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
            let new = Lease { metadata, spec: Some(self.spec(0)) };
            return held(self.api.create(&post, &new).await);
        };
        let spec = found.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let version = found.metadata.resource_version.clone();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => self.seen.insert((version, Instant::now())).1,
        };
        let own = holder == self.identity;
        if !own && !holder.is_empty() && since.elapsed() < DURATION {
            return Ok(false);
        }
        let turns = spec.lease_transitions.unwrap_or(0);
        let turns = if own { turns } else { turns.saturating_add(1) };
        // Replaced with the version that was read: of two who try, one gets a conflict.
        let new = Lease { spec: Some(self.spec(turns)), ..found };
        held(self.api.replace(LEASE, &post, &new).await)
    }

    fn spec(&self, turns: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(turns),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }
    }
}

/// Whether a write won; a conflict means that somebody else was faster.
fn held(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
