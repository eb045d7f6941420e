//! The Secret of an adapter: how to reach the other system's API server, and tokens of the cluster.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::ByteString;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::credential::{Endpoint, Proof};
use crate::error::{Error, Result};

/// The key of the kubeconfig for the other system's API server.
pub const KUBECONFIG: &str = "kubeconfig";
/// The key of the token with which Karmada reaches the cluster.
pub const MEMBER_TOKEN: &str = "memberToken";
/// The key of the token with which Karmada impersonates its own users in the cluster.
const IMPERSONATOR_TOKEN: &str = "impersonatorToken";

/// The contents of an adapter's Secret.
pub struct AdapterSecret {
    /// Where the other system's API server is.
    pub endpoint: Endpoint,
    /// What the hub's controller authenticates with there.
    pub proof: Proof,
    /// A token of the cluster, for Karmada.
    pub member_token: Option<Zeroizing<String>>,
    /// Another one, which may impersonate.
    pub impersonator_token: Option<Zeroizing<String>>,
}

/// The parts of a kubeconfig that are read. Programs and files that it names are ignored: they would be
/// run and read in the controller's own container.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: String,
    contexts: Vec<Named>,
    clusters: Vec<Named>,
    users: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Named {
    name: String,
    #[serde(default)]
    context: Context,
    #[serde(default)]
    cluster: Cluster,
    #[serde(default)]
    user: User,
}

#[derive(Deserialize, Default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl AdapterSecret {
    /// Reads a Secret's data.
    ///
    /// # Errors
    /// If there is no kubeconfig, or not everything is written inline. The error repeats nothing of it.
    pub fn read(data: &BTreeMap<String, ByteString>) -> Result<Self> {
        let text = |key: &str| data.get(key).and_then(|value| str::from_utf8(&value.0).ok());
        let kubeconfig = text(KUBECONFIG).and_then(|text| serde_yaml::from_str(text).ok());
        let (endpoint, proof) = kubeconfig.and_then(endpoint_and_proof).ok_or_else(|| {
            Error::Refused(format!(
                "its key {KUBECONFIG} must be a kubeconfig whose current context has an https \
                 server, certificate-authority-data, and a token or client-certificate-data with \
                 client-key-data; programs and files are not followed"
            ))
        })?;
        let token = |key: &str| {
            let token = text(key).map(str::trim).filter(|token| !token.is_empty())?;
            Some(Zeroizing::new(token.to_owned()))
        };
        Ok(Self {
            endpoint,
            proof,
            member_token: token(MEMBER_TOKEN),
            impersonator_token: token(IMPERSONATOR_TOKEN),
        })
    }

    /// `text` without any of the secrets: a server's answer may repeat what it was sent.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let proof = match &self.proof {
            Proof::Token(token) => token,
            Proof::Certificate { key, .. } => key,
        };
        let mut shown = text.to_owned();
        for secret in [Some(proof), self.member_token.as_ref(), self.impersonator_token.as_ref()] {
            for form in secret
                .iter()
                .flat_map(|secret| [secret.to_string(), BASE64.encode(secret.as_bytes())])
            {
                shown = shown.replace(&form, "(hidden)");
            }
        }
        shown
    }
}

/// Server and credential of a kubeconfig's current context; `None` unless both are inline.
fn endpoint_and_proof(config: Kubeconfig) -> Option<(Endpoint, Proof)> {
    let find = |list: Vec<Named>, name: &str| list.into_iter().find(|one| one.name == name);
    let decode = |text: &str| BASE64.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let context = find(config.contexts, &config.current_context)?.context;
    let cluster = find(config.clusters, &context.cluster)?.cluster;
    let user = find(config.users, &context.user)?.user;
    let ca = decode(&cluster.certificate_authority_data)?;
    if !cluster.server.starts_with("https://") {
        return None;
    }
    let text = |data: Option<String>| String::from_utf8(decode(&Zeroizing::new(data?))?).ok();
    let proof = match user.token.filter(|token| !token.is_empty()) {
        Some(token) => Proof::Token(Zeroizing::new(token)),
        None => Proof::Certificate {
            certificate: text(user.client_certificate_data)?,
            key: Zeroizing::new(text(user.client_key_data)?),
        },
    };
    Some((Endpoint { server: cluster.server, ca }, proof))
}
