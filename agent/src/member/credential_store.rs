//! The agent's Secret: where its hub is, and the credential for it, so that a restart loses neither.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{MANAGER, Options};
use crate::api::Credential;
use crate::credential::Endpoint;
use crate::error::{Context as _, Error, Result};

/// Reads and writes the Secret.
pub struct CredentialStore {
    api: Api<Secret>,
    name: String,
}

/// The content of the Secret.
pub struct StoredCredential {
    /// Where the hub is.
    pub hub: Endpoint,
    /// What kind the first credential is to be: without one the agent cannot read the registration.
    pub credential: Credential,
    /// The bootstrap token, until it was used.
    pub bootstrap: Option<Zeroizing<String>>,
    /// The key in use.
    pub key: Option<Zeroizing<String>>,
    /// Its certificate.
    pub certificate: Option<String>,
    /// The key of a certificate that was requested and is not issued yet.
    pub next_key: Option<Zeroizing<String>>,
    /// A token, where the hub issues no certificates.
    pub token: Option<Zeroizing<String>>,
    /// When the token was issued.
    pub token_issued: Option<Timestamp>,
    /// When the token expires.
    pub token_expires: Option<Timestamp>,
}

// Keys of the Secret, beyond those that slipway writes.
pub(super) const KEY: &str = "tls.key";
pub(super) const CERTIFICATE: &str = "tls.crt";
pub(super) const NEXT_KEY: &str = "next.key";
pub(super) const TOKEN: &str = "token";
pub(super) const TOKEN_ISSUED: &str = "token-issued";
pub(super) const TOKEN_EXPIRES: &str = "token-expires";
pub(super) const BOOTSTRAP: &str = "bootstrap-token";
const DEPARTING: &str = "departing";

impl CredentialStore {
    /// The Secret that `options` name.
    #[must_use]
    pub fn new(member: &Client, options: &Options) -> Self {
        Self {
            api: Api::namespaced(member.clone(), &options.namespace),
            name: options.secret.clone(),
        }
    }

    /// Reads the whole Secret.
    ///
    /// # Errors
    /// If there is none, or it does not say where the hub is.
    pub async fn load(&self) -> Result<StoredCredential> {
        let mut data = self.data().await?;
        let mut text = |key: &str| {
            let bytes = data.remove(key)?;
            let text = String::from_utf8(bytes.0).ok()?;
            Some(Zeroizing::new(text)).filter(|text| !text.is_empty())
        };
        let (server, ca) = (text("server"), text("ca.crt"));
        let (Some(server), Some(ca)) = (server, ca) else {
            let name = &self.name;
            return Err(Error::Invalid(format!("the Secret {name} lacks `server` or `ca.crt`")));
        };
        Ok(StoredCredential {
            hub: Endpoint { server: server.to_string(), ca: ca.as_bytes().to_vec() },
            credential: text("credential")
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            bootstrap: text(BOOTSTRAP),
            key: text(KEY),
            certificate: text(CERTIFICATE).map(|text| text.to_string()),
            next_key: text(NEXT_KEY),
            token: text(TOKEN),
            token_issued: text(TOKEN_ISSUED).and_then(|text| text.parse().ok()),
            token_expires: text(TOKEN_EXPIRES).and_then(|text| text.parse().ok()),
        })
    }

    /// Writes some keys of the Secret; `None` removes one.
    ///
    /// # Errors
    /// If the member's API server refuses.
    pub async fn save(&self, entries: &[(&str, Option<&str>)]) -> Result<()> {
        let entries = entries.iter().map(|(key, value)| {
            ((*key).to_owned(), value.map_or(Value::Null, |value| BASE64.encode(value).into()))
        });
        let patch = json!({ "data": entries.collect::<Map<_, _>>() });
        let params =
            PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let written = self.api.patch(&self.name, &params, &Patch::Merge(patch)).await;
        written.context(|| format!("writing the Secret {}", self.name)).map(|_| ())
    }

    /// Whether the agent was about to remove itself when it last ran.
    pub async fn departing(&self) -> bool {
        self.data().await.is_ok_and(|data| data.contains_key(DEPARTING))
    }

    /// Remembers that the agent is about to remove itself.
    ///
    /// # Errors
    /// If the member's API server refuses.
    pub async fn depart(&self) -> Result<()> {
        self.save(&[(DEPARTING, Some("true"))]).await
    }

    async fn data(&self) -> Result<BTreeMap<String, k8s_openapi::ByteString>> {
        let secret = self.api.get(&self.name).await;
        let secret = secret.context(|| format!("reading the Secret {}", self.name))?;
        Ok(secret.data.unwrap_or_default())
    }
}
