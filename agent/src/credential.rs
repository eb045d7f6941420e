//! How somebody authenticates at a hub: a client with a token or a certificate, and new tokens.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::{Client, Config};
use zeroize::Zeroizing;

use crate::error::{Context as _, Error, Result};

/// How long a connection to a hub may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be silent before it counts as lost: longer than a watch, which the API
/// server is asked to end after 290 s (kube-runtime's `watcher::Config`).
pub(crate) const READ_TIMEOUT: Duration = Duration::from_mins(5);

/// Where a hub is, and which CA its certificate must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The hub's API server, as an `https` URL.
    pub server: String,
    /// CA certificates, as PEM.
    pub ca: Vec<u8>,
}

/// What a client authenticates with.
#[derive(Clone)]
pub enum Proof {
    /// A ServiceAccount's token.
    Token(Zeroizing<String>),
    /// A client certificate and its key, both as PEM.
    Certificate {
        /// The certificate.
        certificate: String,
        /// Its private key.
        key: Zeroizing<String>,
    },
}

/// A new token of a ServiceAccount.
pub struct IssuedToken {
    /// The token.
    pub token: Zeroizing<String>,
    /// When it expires, which may be sooner than was asked for.
    pub expires: Timestamp,
}

/// Asks `client`'s API server for a token of the account `name` that lasts for `seconds`.
///
/// # Errors
/// If the server refuses, or answers without a token.
pub(crate) async fn issue_token(
    client: &Client,
    namespace: &str,
    name: &str,
    seconds: i64,
) -> Result<IssuedToken> {
    let spec =
        TokenRequestSpec { expiration_seconds: Some(seconds), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let issued = api.create_token_request(name, &PostParams::default(), &request).await;
    let issued = issued.context(|| format!("making a token for {namespace}/{name}"))?;
    let status = issued.status.ok_or_else(|| {
        Error::Invalid(format!("the hub answered without the token for {namespace}/{name}"))
    })?;
    let expires = status.expiration_timestamp.0;
    Ok(IssuedToken { token: Zeroizing::new(status.token), expires })
}

/// A client that authenticates with `proof` at the hub `endpoint`, and trusts the hub's CA alone.
///
/// # Errors
/// If URL, CA, certificate or key cannot be read.
pub fn client(endpoint: &Endpoint, proof: &Proof) -> Result<Client> {
    let server = endpoint.server.parse();
    let server = server.map_err(|error| {
        Error::Invalid(format!("the hub's address {:?} is no URL: {error}", endpoint.server))
    })?;
    let mut config = Config::new(server);
    config.root_cert = Some(certificates(&endpoint.ca)?);
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    // Callers retry themselves, and have time-outs of their own.
    config.default_retry = false;
    match proof {
        Proof::Token(token) => config.auth_info.token = Some(token.as_str().into()),
        Proof::Certificate { certificate, key } => {
            config.auth_info.client_certificate_data = Some(BASE64.encode(certificate));
            config.auth_info.client_key_data = Some(BASE64.encode(key.as_bytes()).into());
        }
    }
    Client::try_from(config).context(|| "making a client for the hub".to_owned())
}

/// All certificates of a PEM file, as DER.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for block in x509_parser::pem::Pem::iter_from_buffer(pem) {
        let block = block.map_err(|error| {
            Error::Invalid(format!("the hub's CA certificate is not PEM: {error}"))
        })?;
        found.push(block.contents);
    }
    if found.is_empty() {
        return Err(Error::Invalid("the hub's CA holds no certificate".to_owned()));
    }
    Ok(found)
}
