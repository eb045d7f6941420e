//! What one side proves itself to a hub with, and the client that it makes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::{Client, Config};
use zeroize::Zeroizing;

use crate::error::{Context as _, Error, Result};

/// How long a hub may take to let itself be connected to.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection may say nothing, be it that its other end lost power: longer than a watch, which
/// the API server is asked to end after 290 s (kube-runtime's `watcher::Config`).
pub(crate) const SILENCE: Duration = Duration::from_mins(5);

/// Where a hub is, and which CA its certificate must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The hub's API server, as an `https` URL.
    pub server: String,
    /// CA certificates, as PEM.
    pub ca: Vec<u8>,
}

/// A proof of who one is.
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

/// The client that shows `proof` to the hub at `endpoint`, and trusts no other CA than the hub's.
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
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    // Who calls knows when to try again, and waits no longer than its own limit.
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
