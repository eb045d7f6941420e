//! When the certificate of the member's own API server expires: every TLS handshake shows it.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Config;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::shared::CALL_TIMEOUT;
use crate::error::{Error, Result, within};

/// Where an API server is, and which CA must have signed its certificate.
#[derive(Debug, Clone)]
pub struct ApiServer {
    host: String,
    port: u16,
    roots: Vec<Vec<u8>>,
}

impl ApiServer {
    /// The API server that `config` leads to; `None` if it is not reached by TLS with a known CA.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let url = &config.cluster_url;
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_u16().unwrap_or(443);
        let roots = config.root_cert.clone().filter(|roots| !roots.is_empty())?;
        Some(Self { host, port, roots })
    }

    /// When its certificate expires.
    pub(super) async fn certificate_expiry(&self) -> Result<Timestamp> {
        within(CALL_TIMEOUT, "the TLS handshake with the API server", self.handshake()).await
    }

    async fn handshake(&self) -> Result<Timestamp> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::Refused(format!("looking at the API server's certificate: {error}"))
        };
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(CertificateDer::from(root.clone())).map_err(|error| failed(&error))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let config = builder.map_err(|error| failed(&error))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(|error| failed(&error))?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| failed(&error))?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.map_err(|error| failed(&error))?;
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates().and_then(|shown| shown.first());
        let shown = shown.ok_or_else(|| failed(&"the server shows none"))?;
        let (_, certificate) =
            x509_parser::parse_x509_certificate(shown).map_err(|error| failed(&error))?;
        let seconds = certificate.validity().not_after.timestamp();
        Timestamp::from_second(seconds).map_err(|error| failed(&error))
    }
}
