//! One leader among the controller's replicas, by a Lease with the timing of Kubernetes' own controllers.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};

use super::Options;
use crate::error::{Error, within};

/// The Lease's name.
const LEASE: &str = "mcp-hub";
/// A Lease that did not change for so long is free; these are kube-controller-manager's defaults.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long stops.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often a leader renews, and others look.
const RETRY: Duration = Duration::from_secs(2);
/// What errors say that a leader was doing.
const RENEWING: &str = "renewing the leader's Lease";

/// What a replica has while it leads.
pub(super) struct Leadership {
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
pub(super) async fn acquire(client: &Client, options: &Options) -> Leadership {
    let api = Api::namespaced(client.clone(), &options.namespace);
    let mut candidate = Candidate { api, identity: options.identity.clone(), seen: None };
    loop {
        let began = Instant::now();
        let attempt = candidate.attempt();
        match within(RENEW_DEADLINE, "acquiring the leader's Lease", attempt).await {
            Ok(true) => return Leadership { candidate, renewed: began },
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "will try again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Leadership {
    /// Renews the Lease until that fails for too long, or another replica leads.
    pub(super) async fn keep(&mut self) -> Error {
        loop {
            tokio::time::sleep(RETRY).await;
            let left = RENEW_DEADLINE.saturating_sub(self.renewed.elapsed());
            let began = Instant::now();
            match within(left, RENEWING, self.candidate.attempt()).await {
                Ok(true) => self.renewed = began,
                Ok(false) => return Error::Refused("another replica leads".to_owned()),
                Err(error) => tracing::warn!(%error, "will try again"),
            }
            if self.renewed.elapsed() >= RENEW_DEADLINE {
                return Error::Timeout(RENEWING.to_owned(), RENEW_DEADLINE);
            }
        }
    }
}

impl Candidate {
    /// Takes or renews the Lease if this replica holds it, or if it is free or expired. Returns whether this
    /// replica holds it now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let post = PostParams::default();
        let Some(found) = self.api.get_opt(LEASE).await? else {
            let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
            let new = Lease { metadata, spec: Some(self.spec(0)) };
            return won(self.api.create(&post, &new).await);
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
        let transitions = spec.lease_transitions.unwrap_or(0);
        let transitions = transitions.saturating_add(i32::from(!own));
        // `found` has the version that was read: of two replicas that try, one gets a conflict.
        let new = Lease { spec: Some(self.spec(transitions)), ..found };
        won(self.api.replace(LEASE, &post, &new).await)
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }
    }
}

/// Whether a write succeeded; a conflict means that another replica was faster.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
