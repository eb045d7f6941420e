//! How the agent comes to its credential, and to the next one before that runs out.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use rcgen::KeyPair;
use zeroize::Zeroizing;

use super::backoff::Backoff;
use super::keep::{BOOTSTRAP, CERTIFICATE, KEY, NEXT_KEY, TOKEN, TOKEN_EXPIRES, TOKEN_ISSUED};
use super::{Hub, Keep, Kept, Shared};
use crate::access::{self, AGENT};
use crate::api::{Credential, CredentialType};
use crate::credential::{Proof, client};
use crate::error::printable;
use crate::error::{Context as _, Error, Result};

/// How long a member's token lasts.
const TOKEN_LIFE: i64 = 24 * 3600;
/// How long a new credential is used at least.
const FLOOR: Duration = Duration::from_secs(5);
/// How often the Secret is looked at.
const LOOK: Duration = Duration::from_mins(1);
/// How soon the hub is asked whether it has signed; each time after twice as long.
const ASK: Duration = Duration::from_millis(500);
/// How seldom it is asked at most.
const SELDOM: Duration = Duration::from_secs(10);
/// How long one answer of the hub may take.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a request may wait to be approved, before all of it is tried anew.
const APPROVAL: Duration = Duration::from_mins(5);

/// A credential's life.
struct Valid {
    proof: Proof,
    from: Timestamp,
    until: Timestamp,
}

/// What came of a request.
enum Issued {
    Certificate(String),
    /// The hub approved and does not sign.
    Nothing,
}

/// Obtains a credential, and renews it in time, for ever.
pub(super) async fn run(shared: &Shared, keep: &Keep) {
    let (mut backoff, mut fresh) = (Backoff::new(), false);
    loop {
        match turn(shared, keep, fresh).await {
            Ok(wait) => {
                backoff = Backoff::new();
                fresh = wait.is_zero();
                shared.figures.renewal_fails.store(false, Ordering::Relaxed);
                tokio::time::sleep(wait).await;
            }
            Err(error) => {
                shared.figures.renewal_fails.store(true, Ordering::Relaxed);
                backoff.wait(&error).await;
            }
        }
    }
}

/// Makes sure that there is a credential with life enough left. Returns when to look again: at once,
/// if it has just got one; a `fresh` one is used for a while, whatever the threshold says.
async fn turn(shared: &Shared, keep: &Keep, fresh: bool) -> Result<Duration> {
    let kept = keep.load().await?;
    let now = Timestamp::now();
    let valid = valid(&kept)?.filter(|valid| valid.until > now);
    // A bootstrap token is there only until it was used: this cluster is registered anew.
    if let Some(token) = kept.bootstrap.clone() {
        let bootstrap = client(&kept.hub, &Proof::Token(token))?;
        match obtain(shared, keep, &kept, &bootstrap, None).await {
            Err(error) if valid.is_some() => {
                tracing::warn!(%error, "the bootstrap token is no use; the old credential goes on");
            }
            done => return done.map(|()| Duration::ZERO),
        }
    }
    if let Some(valid) = valid {
        let hub = Hub { client: client(&kept.hub, &valid.proof)?, expires: valid.until };
        // Sent only when it is another one: everybody connects anew then.
        let known = shared.hub.borrow().as_ref().map(|hub| hub.expires);
        if known != Some(hub.expires) {
            shared.figures.expires.store(hub.expires.as_second(), Ordering::Relaxed);
            shared.hub.send_replace(Some(hub.clone()));
        }
        let due = renewal(&valid, shared.options.renew_at);
        let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
        if fresh || !wait.is_zero() {
            // In steps, so that a clock that is set, or another Secret, is noticed.
            return Ok(wait.clamp(FLOOR, LOOK));
        }
        tracing::info!(expires = %valid.until, "renews its credential");
        let token_wanted = wanted(shared, &kept).kind == CredentialType::Token;
        if token_wanted && matches!(valid.proof, Proof::Token(_)) {
            token(shared, keep, &hub.client).await?;
        } else {
            obtain(shared, keep, &kept, &hub.client, Some(&valid)).await?;
        }
        return Ok(Duration::ZERO);
    }
    Err(Error::Refused(
        "there is no valid credential for the hub, and no bootstrap token: register this cluster \
         anew"
            .to_owned(),
    ))
}

/// The credential that was kept.
fn valid(kept: &Kept) -> Result<Option<Valid>> {
    if let (Some(key), Some(certificate)) = (&kept.key, &kept.certificate) {
        let (_, block) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
            .map_err(|_| Error::Invalid("the certificate that was kept is not PEM".to_owned()))?;
        let parsed = block.parse_x509();
        let parsed = parsed
            .map_err(|_| Error::Invalid("the certificate that was kept is none".to_owned()))?;
        let time = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(|_| {
                Error::Invalid("the certificate that was kept has no dates".to_owned())
            })
        };
        let proof = Proof::Certificate { certificate: certificate.clone(), key: key.clone() };
        let validity = parsed.validity();
        let (from, until) = (time(validity.not_before)?, time(validity.not_after)?);
        return Ok(Some(Valid { proof, from, until }));
    }
    let (Some(token), Some(until)) = (&kept.token, kept.token_expires) else { return Ok(None) };
    let from = kept.token_issued.unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Some(Valid { proof: Proof::Token(token.clone()), from, until }))
}

/// When a credential is renewed: when the share `left` of its life is left.
fn renewal(valid: &Valid, left: f64) -> Timestamp {
    let life = valid.until.duration_since(valid.from);
    valid.until.checked_sub(life.mul_f64(left.clamp(0.0, 1.0))).unwrap_or(valid.from)
}

/// Whether a hub that does not sign is asked again, and no token is asked for yet: its signer may be
/// away, and half of the time for renewals is left.
fn patient(valid: &Valid, left: f64, now: Timestamp) -> bool {
    matches!(valid.proof, Proof::Certificate { .. }) && now < renewal(valid, left / 2.0)
}

/// What the agent shall prove itself with.
fn wanted(shared: &Shared, kept: &Kept) -> Credential {
    let registration = shared.registration();
    registration.map_or_else(|| kept.credential.clone(), |found| found.spec.credential.clone())
}

/// Asks for a certificate, in place of the `valid` credential if there is one; for a token if the hub
/// does not issue any.
async fn obtain(
    shared: &Shared,
    keep: &Keep,
    kept: &Kept,
    hub: &Client,
    valid: Option<&Valid>,
) -> Result<()> {
    let generated;
    // The key of a request that was interrupted is used again: its certificate may be waiting.
    let key = match &kept.next_key {
        Some(key) => key,
        None => {
            let fresh = KeyPair::generate();
            let fresh = fresh.map_err(|error| Error::Invalid(format!("making a key: {error}")))?;
            generated = Zeroizing::new(fresh.serialize_pem());
            keep.save(&[(NEXT_KEY, Some(&generated))]).await?;
            &generated
        }
    };
    let (wanted, left) = (wanted(shared, kept), shared.options.renew_at);
    match request(shared, hub, key, &wanted, valid.is_some()).await? {
        Issued::Certificate(certificate) => {
            keep.save(&[
                (KEY, Some(key)),
                (CERTIFICATE, Some(&certificate)),
                (NEXT_KEY, None),
                (TOKEN, None),
                (BOOTSTRAP, None),
            ])
            .await?;
            shared.figures.renewed.fetch_add(1, Ordering::Relaxed);
            tracing::info!("has a new certificate");
            Ok(())
        }
        Issued::Nothing
            if wanted.kind == CredentialType::Certificate
                && valid.is_some_and(|valid| patient(valid, left, Timestamp::now())) =>
        {
            let limit = shared.options.issue_limit;
            Err(Error::Timeout("the hub's signature of an approved certificate".to_owned(), limit))
        }
        Issued::Nothing => token(shared, keep, hub).await,
    }
}

/// Brings a request to the hub and waits for what comes of it.
async fn request(
    shared: &Shared,
    hub: &Client,
    key: &str,
    wanted: &Credential,
    renewal: bool,
) -> Result<Issued> {
    let cluster = &shared.options.cluster;
    let name = access::request_name(cluster, renewal);
    let pair = KeyPair::from_pem(key);
    let pair = pair.map_err(|error| Error::Invalid(format!("reading the agent's key: {error}")))?;
    let pem = access::signing_request(cluster, &pair)?;
    let api = Api::<CertificateSigningRequest>::all(hub.clone());
    let ours = access::key_of(pem.as_bytes())?;
    let new = access::request(cluster, renewal, pem, wanted.lifetime());
    match answer(&name, api.create(&PostParams::default(), &new)).await {
        Err(error) if error.code() == Some(409) => {
            let found = answer(&name, api.get(&name)).await?;
            if access::key_of(&found.spec.request.0).ok() != Some(ours) {
                if !renewal {
                    return Err(Error::Refused(format!(
                        "the bootstrap credential was used for another key already ({name}): make \
                         a new one"
                    )));
                }
                answer(&name, api.delete(&name, &DeleteParams::default())).await?;
                return Err(Error::Refused(format!("an old request {name} was in the way")));
            }
        }
        other => drop(other?),
    }
    let (began, mut approved, mut ask) = (tokio::time::Instant::now(), None, ASK);
    let issue_limit = match wanted.kind {
        CredentialType::Certificate => shared.options.issue_limit,
        CredentialType::Token => Duration::ZERO,
    };
    loop {
        let found = answer(&name, api.get(&name)).await?;
        let status = found.status.unwrap_or_default();
        if let Some(certificate) = status.certificate.filter(|_| !issue_limit.is_zero()) {
            let text = String::from_utf8(certificate.0);
            let text =
                text.map_err(|_| Error::Invalid("the certificate is not text".to_owned()))?;
            return Ok(Issued::Certificate(text));
        }
        let conditions = status.conditions.unwrap_or_default();
        if let Some(no) = conditions.iter().find(|c| c.type_ == "Denied" || c.type_ == "Failed") {
            if renewal {
                // Out of the way of the next attempt.
                answer(&name, api.delete(&name, &DeleteParams::default())).await?;
            }
            let why = printable(no.message.as_deref().unwrap_or_default());
            return Err(Error::Refused(format!(
                "the hub answered {name} with {}: {why}",
                no.type_
            )));
        }
        if conditions.iter().any(|condition| condition.type_ == "Approved") {
            let since = approved.get_or_insert_with(tokio::time::Instant::now);
            if since.elapsed() >= issue_limit {
                return Ok(Issued::Nothing);
            }
        } else if began.elapsed() > APPROVAL {
            return Err(Error::Timeout(format!("approval of {name}"), APPROVAL));
        }
        tokio::time::sleep(super::backoff::jittered(ask)).await;
        ask = ask.saturating_mul(2).min(SELDOM);
    }
}

/// Makes a token of the agent's own account.
async fn token(shared: &Shared, keep: &Keep, hub: &Client) -> Result<()> {
    let namespace = access::namespace(&shared.options.cluster);
    let api = Api::<ServiceAccount>::namespaced(hub.clone(), &namespace);
    let asked = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN_LIFE),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let made =
        answer(AGENT, api.create_token_request(AGENT, &PostParams::default(), &asked)).await?;
    let Some(status) = made.status else {
        return Err(Error::Invalid("the hub made a token and does not show it".to_owned()));
    };
    // The hub may give it a shorter life than was asked for.
    let expires = status.expiration_timestamp.0.to_string();
    keep.save(&[
        (TOKEN, Some(&Zeroizing::new(status.token))),
        (TOKEN_ISSUED, Some(&Timestamp::now().to_string())),
        (TOKEN_EXPIRES, Some(&expires)),
        // A certificate that is about to run out must not be preferred.
        (KEY, None),
        (CERTIFICATE, None),
        (NEXT_KEY, None),
        (BOOTSTRAP, None),
    ])
    .await?;
    shared.figures.renewed.fetch_add(1, Ordering::Relaxed);
    tracing::info!(expires, "has a token, since the hub issues no certificates");
    Ok(())
}

/// An answer of the hub, within its limit.
async fn answer<T>(what: &str, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(answered) => answered.context(|| format!("asking the hub for {what}")),
        Err(_) => Err(Error::Timeout(format!("the hub's answer for {what}"), ANSWER)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_its_life_before_the_end_a_credential_is_renewed() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let key = Zeroizing::new(String::new());
        let proof = Proof::Certificate { certificate: String::new(), key };
        let valid = Valid { proof, from: second(1000), until: second(2000) };
        assert_eq!(renewal(&valid, 0.2), second(1800));
        assert_eq!(renewal(&valid, 0.99), second(1010));
        assert_eq!(renewal(&valid, 7.0), second(1000));
        // From a tenth on it takes a token, if that is all that the hub gives.
        assert!(patient(&valid, 0.2, second(1899)) && !patient(&valid, 0.2, second(1900)));
        let proof = Proof::Token(Zeroizing::new(String::new()));
        assert!(!patient(&Valid { proof, ..valid }, 0.2, second(1800)));
    }
}
