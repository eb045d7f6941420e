//! Connecting to a hub, by a kubeconfig or by hand; what its errors mean here.

use std::path::Path;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use slipway_agent::credential::{self, Endpoint, Proof};
use slipway_agent::error;
use zeroize::Zeroizing;

use crate::cluster::{Cluster, Hub, unreachable};
use crate::diagnostic::{Error, Kind, Result};

/// Connects to `hub`; gives also where it is, as agents need to know.
///
/// # Errors
/// [`Kind::Inventory`] for files that cannot be read or understood.
pub async fn reach(hub: &Hub) -> Result<(Client, Endpoint)> {
    match hub {
        Hub::Kubeconfig(path) => kubeconfig(path).await,
        Hub::Endpoint { authority, ca, token } => {
            let server = format!("https://{authority}");
            let endpoint = Endpoint { server, ca: read(ca)? };
            private(token)?;
            let token = Zeroizing::new(read(token)?);
            let token = Zeroizing::new(String::from_utf8_lossy(&token).trim().to_owned());
            let client = credential::client(&endpoint, &Proof::Token(token));
            Ok((client.map_err(self::error)?, endpoint))
        }
    }
}

async fn kubeconfig(path: &Path) -> Result<(Client, Endpoint)> {
    let wrong = |why: String| {
        Error::new(
            Kind::Inventory,
            format!("cannot use the kubeconfig `{}`: {why}", path.display()),
        )
    };
    let read = Kubeconfig::read_from(path).map_err(|e| wrong(e.to_string()))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(read, &options).await;
    let config = config.map_err(|e| wrong(e.to_string()))?;
    let der = config.root_cert.clone().unwrap_or_default();
    if der.is_empty() {
        let why = "it names no CA (`certificate-authority-data`), which agents need".to_owned();
        return Err(wrong(why));
    }
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let ca: String = der.iter().map(|der| pem(der)).collect();
    let client = Client::try_from(config).map_err(|e| wrong(e.to_string()))?;
    Ok((client, Endpoint { server, ca: ca.into_bytes() }))
}

/// Refuses a hub whose address, `server`, would lead the agent in `cluster` somewhere else.
pub(super) fn from_inside(server: &str, cluster: &Cluster) -> Result<()> {
    let authority = server.split_once("://").map_or(server, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let holder = host.parse().ok().and_then(|address| cluster.network.holder(address));
    let reason = match holder {
        Some(network) => format!("it is in the cluster's own {network} network"),
        None => match unreachable(host) {
            Some(reason) => reason.to_owned(),
            None => return Ok(()),
        },
    };
    let message = format!("the cluster's agent cannot reach the hub at {server}: {reason}");
    let hint = "name the address that other machines reach the hub at: as `server` in the kubeconfig, \
                or in `spec.registration.hub.endpoint`";
    Err(Error::new(Kind::Inventory, message).hint(hint))
}

/// A certificate in the form of RFC 7468.
fn pem(der: &[u8]) -> String {
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|e| Error::new(Kind::Inventory, format!("cannot read `{}`: {e}", path.display())))
}

/// Refuses a token that others may read.
fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
    match mode {
        Ok(mode) if mode & 0o077 != 0 => {
            let message = format!("others may read the token `{}` ({mode:04o})", path.display());
            let hint = format!("chmod 600 {}", path.display());
            Err(Error::new(Kind::Inventory, message).hint(hint))
        }
        _ => Ok(()),
    }
}

/// What an answer that is no success means, of whom or what slipway asked.
pub(super) fn api(what: impl Into<String>, cause: kube::Error) -> Error {
    error(error::Error::Api(what.into(), Box::new(cause)))
}

/// The same, where `server` may turn out to be none that knows the hub's kinds.
pub(super) fn unless_no_hub(server: &str, what: impl Into<String>, cause: kube::Error) -> Error {
    match cause {
        kube::Error::Api(status) if status.code == 404 => {
            Error::new(Kind::Preflight, format!("{server} is no hub"))
                .hint("is this the hub's address? `slipway hub install` makes an API server a hub")
        }
        cause => api(what, cause),
    }
}

/// What an error of the agent's package means here.
#[must_use]
pub fn error(cause: error::Error) -> Error {
    let message = cause.to_string();
    match &cause {
        error::Error::Api(..) if cause.code().is_none_or(|code| code >= 500) => {
            Error::new(Kind::Connection, message).passing()
        }
        error::Error::Api(..) => Error::new(Kind::Command, message),
        error::Error::Refused(_) => Error::new(Kind::Preflight, message),
        error::Error::Timeout(..) => Error::new(Kind::Timeout, message),
        error::Error::Invalid(_) => Error::new(Kind::Inventory, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::Context;

    #[test]
    fn a_hub_that_agents_cannot_reach_is_refused() {
        let cluster = Context::sample(&[], &["cp-1"]).cluster;
        let cases = [
            ("https://127.0.0.1:6443", Some("reaches only itself")),
            ("https://localhost:40123", Some("reaches only itself")),
            ("https://[::1]:6443", Some("reaches only itself")),
            ("https://0.0.0.0:6443", Some("no machine's address")),
            ("https://10.244.3.7:6443", Some("the cluster's own pod network")),
            ("https://10.96.0.1", Some("the cluster's own service network")),
            ("https://10.77.0.200:6443", None),
            ("https://hub.example.com", None),
            ("https://hub.example.com:6443/clusters/a", None),
            ("https://[fd00::7]:6443", None),
        ];
        for (server, refused) in cases {
            let result = from_inside(server, &cluster);
            match refused {
                None => result.unwrap(),
                Some(reason) => {
                    let error = result.unwrap_err();
                    assert_eq!(error.kind(), Kind::Inventory);
                    assert!(error.to_string().contains(reason), "{server}: {error}");
                }
            }
        }
    }
}
