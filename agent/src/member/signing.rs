//! How the agent gets a certificate: its request goes to the hub, whose controller approves and whose
//! signer signs it.

use std::time::Duration;

use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use rcgen::KeyPair;
use tokio::time::Instant;

use super::shared::{CALL_TIMEOUT, Shared};
use crate::access;
use crate::api::{Credential, CredentialType};
use crate::backoff::Backoff;
use crate::error::{Error, Result, printable, within};

/// How soon the agent asks whether its request is signed, at first and later.
const POLL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long a request may wait for its approval, before the agent makes another one.
const APPROVAL_TIMEOUT: Duration = Duration::from_mins(5);

/// What came of a request.
pub(super) enum Issued {
    /// The certificate, as PEM.
    Certificate(String),
    /// The hub approved the request and did not sign it.
    Nothing,
}

/// A request at the hub.
struct Request {
    api: Api<CertificateSigningRequest>,
    name: String,
    renewal: bool,
}

/// Requests a certificate for `key` (PEM), and waits for it as long as the options say.
pub(super) async fn request(
    shared: &Shared,
    hub: &Client,
    key: &str,
    wanted: &Credential,
    renewal: bool,
) -> Result<Issued> {
    let cluster = &shared.options.cluster;
    let request = Request {
        api: Api::all(hub.clone()),
        name: access::request_name(cluster, renewal),
        renewal,
    };
    request.submit(cluster, key, wanted).await?;
    let issue_limit = match wanted.kind {
        CredentialType::Certificate => shared.options.issue_limit,
        CredentialType::Token => Duration::ZERO,
    };
    request.issued(issue_limit).await
}

impl Request {
    /// Makes sure that the hub has the request, for this key.
    async fn submit(&self, cluster: &str, key: &str, wanted: &Credential) -> Result<()> {
        let pair = KeyPair::from_pem(key);
        let pair =
            pair.map_err(|error| Error::Invalid(format!("reading the agent's key: {error}")))?;
        let pem = access::signing_request(cluster, &pair)?;
        let own_key = access::key_of(pem.as_bytes())?;
        let new = access::request(cluster, self.renewal, pem, wanted.lifetime());
        match self.call("creating", self.api.create(&PostParams::default(), &new)).await {
            Err(error) if error.code() == Some(409) => {}
            other => return other.map(drop),
        }
        let found = self.found().await?;
        if access::key_of(&found.spec.request.0).ok() == Some(own_key) {
            return Ok(());
        }
        let name = &self.name;
        if !self.renewal {
            return Err(Error::Refused(format!(
                "the bootstrap credential was used for another key already ({name}): make a new one"
            )));
        }
        self.delete().await?;
        Err(Error::Refused(format!("deleted an older request {name}")))
    }

    /// Waits until the request is answered, and once it is approved for `issue_limit` for its certificate.
    async fn issued(&self, issue_limit: Duration) -> Result<Issued> {
        let (began, mut approved, mut poll) = (Instant::now(), None, Backoff::new(POLL.0, POLL.1));
        loop {
            let status = self.found().await?.status.unwrap_or_default();
            if let Some(certificate) = status.certificate.filter(|_| !issue_limit.is_zero()) {
                let text = String::from_utf8(certificate.0);
                let text =
                    text.map_err(|_| Error::Invalid("the certificate is not text".to_owned()))?;
                return Ok(Issued::Certificate(text));
            }
            let conditions = status.conditions.unwrap_or_default();
            self.unless_refused(&conditions).await?;
            if conditions.iter().any(|condition| condition.type_ == "Approved") {
                let since = approved.get_or_insert_with(Instant::now);
                if since.elapsed() >= issue_limit {
                    return Ok(Issued::Nothing);
                }
            } else if began.elapsed() > APPROVAL_TIMEOUT {
                let what = format!("waiting until {} is approved", self.name);
                return Err(Error::Timeout(what, APPROVAL_TIMEOUT));
            }
            tokio::time::sleep(poll.pause()).await;
        }
    }

    /// An error if the hub refused the request; a refused renewal is deleted, so that the next one can
    /// have its name.
    async fn unless_refused(&self, all: &[CertificateSigningRequestCondition]) -> Result<()> {
        let refused = all.iter().find(|one| one.type_ == "Denied" || one.type_ == "Failed");
        let Some(refused) = refused else { return Ok(()) };
        if self.renewal {
            self.delete().await?;
        }
        let why = printable(refused.message.as_deref().unwrap_or_default());
        Err(Error::Refused(format!("the hub answered {} with {}: {why}", self.name, refused.type_)))
    }

    async fn found(&self) -> Result<CertificateSigningRequest> {
        self.call("reading", self.api.get(&self.name)).await
    }

    async fn delete(&self) -> Result<()> {
        let params = DeleteParams::default();
        self.call("deleting", self.api.delete(&self.name, &params)).await.map(drop)
    }

    async fn call<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T> {
        within(CALL_TIMEOUT, &format!("{doing} the request {}", self.name), call).await
    }
}
