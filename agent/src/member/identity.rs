//! How the agent gets its credential, and renews it before it expires.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use rcgen::KeyPair;
use zeroize::Zeroizing;

use super::credential_store::{
    BOOTSTRAP, CERTIFICATE, KEY, NEXT_KEY, TOKEN, TOKEN_EXPIRES, TOKEN_ISSUED,
};
use super::shared::{CALL_TIMEOUT, Hub, Shared};
use super::signing::{Issued, request};
use super::{CredentialStore, StoredCredential};
use crate::access::{self, AGENT};
use crate::api::{Credential, CredentialType};
use crate::backoff::Backoff;
use crate::credential::{Proof, client, issue_token};
use crate::error::{Error, Result, within};

/// How long a member's token lasts, in seconds: a day.
const TOKEN_SECONDS: i64 = 24 * 3600;
/// How long a new credential is used at least.
const SHORTEST_USE: Duration = Duration::from_secs(5);
/// How often the agent looks whether its credential is due, its clock was set, or its Secret changed.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// A credential that the agent has.
struct Current {
    proof: Proof,
    from: Timestamp,
    until: Timestamp,
}

/// Obtains a credential, and renews it in time, until dropped.
pub(super) async fn run(shared: &Shared, store: &CredentialStore) {
    let (mut backoff, mut fresh) = (Backoff::slow(), false);
    loop {
        match turn(shared, store, fresh).await {
            Ok(wait) => {
                backoff.reset();
                fresh = wait.is_zero();
                shared.metrics.renewal_fails.store(false, Ordering::Relaxed);
                tokio::time::sleep(wait).await;
            }
            Err(error) => {
                shared.metrics.renewal_fails.store(true, Ordering::Relaxed);
                backoff.wait(&error).await;
            }
        }
    }
}

/// Makes sure that there is a credential that is not due for renewal. Returns when to look again: at once
/// if it has just obtained one. A `fresh` credential is used for a while, whatever the threshold says.
async fn turn(shared: &Shared, store: &CredentialStore, fresh: bool) -> Result<Duration> {
    let stored = store.load().await?;
    let now = Timestamp::now();
    let current = current(&stored)?.filter(|current| current.until > now);
    // There is a bootstrap token only until it is used: this cluster was registered anew.
    if let Some(token) = stored.bootstrap.clone() {
        let bootstrap = client(&stored.hub, &Proof::Token(token))?;
        match obtain(shared, store, &stored, &bootstrap, None).await {
            Err(error) if current.is_some() => {
                tracing::warn!(%error, "cannot use the bootstrap token; keeps the old credential");
            }
            done => return done.map(|()| Duration::ZERO),
        }
    }
    let Some(current) = current else {
        return Err(Error::Refused(
            "there is no valid credential for the hub, and no bootstrap token: register this \
             cluster anew"
                .to_owned(),
        ));
    };
    let hub = connect(shared, &stored, &current)?;
    let due = renewal(&current, shared.options.renew_at);
    let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
    if fresh || !wait.is_zero() {
        return Ok(wait.clamp(SHORTEST_USE, CHECK_INTERVAL));
    }
    tracing::info!(expires = %current.until, "renews its credential");
    let token_wanted = wanted(shared, &stored).kind == CredentialType::Token;
    if token_wanted && matches!(current.proof, Proof::Token(_)) {
        obtain_token(shared, store, &hub).await?;
    } else {
        obtain(shared, store, &stored, &hub, Some(&current)).await?;
    }
    Ok(Duration::ZERO)
}

/// A client with the current credential, for the agent's other loops too.
fn connect(shared: &Shared, stored: &StoredCredential, current: &Current) -> Result<Client> {
    let client = client(&stored.hub, &current.proof)?;
    // Only another credential is announced: it makes every loop connect anew.
    let known = shared.hub.borrow().as_ref().map(|hub| hub.expires);
    if known != Some(current.until) {
        shared.metrics.expires.store(current.until.as_second(), Ordering::Relaxed);
        let hub = Hub { client: client.clone(), expires: current.until };
        shared.hub.send_replace(Some(hub));
    }
    Ok(client)
}

/// The credential that is stored: a certificate, else a token.
fn current(stored: &StoredCredential) -> Result<Option<Current>> {
    if let (Some(key), Some(certificate)) = (&stored.key, &stored.certificate) {
        let invalid = |why: &str| Error::Invalid(format!("the stored certificate {why}"));
        let (_, block) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
            .map_err(|_| invalid("is not PEM"))?;
        let parsed = block.parse_x509().map_err(|_| invalid("cannot be parsed"))?;
        let time = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(|_| invalid("has no valid dates"))
        };
        let proof = Proof::Certificate { certificate: certificate.clone(), key: key.clone() };
        let validity = parsed.validity();
        let (from, until) = (time(validity.not_before)?, time(validity.not_after)?);
        return Ok(Some(Current { proof, from, until }));
    }
    let (Some(token), Some(until)) = (&stored.token, stored.token_expires) else { return Ok(None) };
    let from = stored.token_issued.unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Some(Current { proof: Proof::Token(token.clone()), from, until }))
}

/// When a credential is renewed: when the share `left` of its life is left.
fn renewal(current: &Current, left: f64) -> Timestamp {
    let life = current.until.duration_since(current.from);
    current.until.checked_sub(life.mul_f64(left.clamp(0.0, 1.0))).unwrap_or(current.from)
}

/// Whether the agent keeps asking a hub that does not sign, instead of taking a token: the hub's signer
/// may be away, and half of the time for renewals is left.
fn waits_for_signer(current: &Current, left: f64, now: Timestamp) -> bool {
    matches!(current.proof, Proof::Certificate { .. }) && now < renewal(current, left / 2.0)
}

/// The kind of credential that the registration asks for; until it was read, the stored one.
fn wanted(shared: &Shared, stored: &StoredCredential) -> Credential {
    let registration = shared.registration();
    registration.map_or_else(|| stored.credential.clone(), |found| found.spec.credential.clone())
}

/// Obtains a certificate, in place of the `current` credential if there is one; a token if the hub does
/// not sign.
async fn obtain(
    shared: &Shared,
    store: &CredentialStore,
    stored: &StoredCredential,
    hub: &Client,
    current: Option<&Current>,
) -> Result<()> {
    let generated;
    // The key of an interrupted request is used again: its certificate may be waiting.
    let key = match &stored.next_key {
        Some(key) => key,
        None => {
            let fresh = KeyPair::generate();
            let fresh = fresh.map_err(|error| Error::Invalid(format!("making a key: {error}")))?;
            generated = Zeroizing::new(fresh.serialize_pem());
            store.save(&[(NEXT_KEY, Some(&generated))]).await?;
            &generated
        }
    };
    let (wanted, left) = (wanted(shared, stored), shared.options.renew_at);
    match request(shared, hub, key, &wanted, current.is_some()).await? {
        Issued::Certificate(certificate) => {
            store
                .save(&[
                    (KEY, Some(key)),
                    (CERTIFICATE, Some(&certificate)),
                    (NEXT_KEY, None),
                    (TOKEN, None),
                    (BOOTSTRAP, None),
                ])
                .await?;
            shared.metrics.renewed.fetch_add(1, Ordering::Relaxed);
            tracing::info!("has a new certificate");
            Ok(())
        }
        Issued::Nothing
            if wanted.kind == CredentialType::Certificate
                && current
                    .is_some_and(|current| waits_for_signer(current, left, Timestamp::now())) =>
        {
            let what = "waiting for the hub to sign an approved certificate".to_owned();
            Err(Error::Timeout(what, shared.options.issue_limit))
        }
        Issued::Nothing => obtain_token(shared, store, hub).await,
    }
}

/// Obtains a token of the agent's own account.
async fn obtain_token(shared: &Shared, store: &CredentialStore, hub: &Client) -> Result<()> {
    let namespace = access::namespace(&shared.options.cluster);
    let issued = issue_token(hub, &namespace, AGENT, TOKEN_SECONDS);
    let issued = within(CALL_TIMEOUT, "asking the hub for a token", issued).await?;
    let expires = issued.expires.to_string();
    store
        .save(&[
            (TOKEN, Some(&issued.token)),
            (TOKEN_ISSUED, Some(&Timestamp::now().to_string())),
            (TOKEN_EXPIRES, Some(&expires)),
            // A stored certificate would be preferred, and is about to expire.
            (KEY, None),
            (CERTIFICATE, None),
            (NEXT_KEY, None),
            (BOOTSTRAP, None),
        ])
        .await?;
    shared.metrics.renewed.fetch_add(1, Ordering::Relaxed);
    tracing::info!(expires, "has a token, since the hub issues no certificates");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_renewed_when_the_given_share_of_its_life_is_left() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let key = Zeroizing::new(String::new());
        let proof = Proof::Certificate { certificate: String::new(), key };
        let current = Current { proof, from: second(1000), until: second(2000) };
        assert_eq!(renewal(&current, 0.2), second(1800));
        assert_eq!(renewal(&current, 0.99), second(1010));
        assert_eq!(renewal(&current, 7.0), second(1000));
        // While more than half of that share is left, it waits for the hub's signer.
        assert!(
            waits_for_signer(&current, 0.2, second(1899))
                && !waits_for_signer(&current, 0.2, second(1900))
        );
        let proof = Proof::Token(Zeroizing::new(String::new()));
        assert!(!waits_for_signer(&Current { proof, ..current }, 0.2, second(1800)));
    }
}
