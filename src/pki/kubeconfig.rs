//! A kubeconfig: `v1.Config` of client-go's `tools/clientcmd/api/v1`, with everything embedded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::Leaf;
use crate::diagnostic::{Error, Kind, Result};
use crate::secret::Secret;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Config<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    clusters: [NamedCluster<'a>; 1],
    contexts: [NamedContext<'a>; 1],
    current_context: &'a str,
    users: [NamedUser<'a>; 1],
}

#[derive(Serialize)]
struct NamedCluster<'a> {
    name: &'a str,
    cluster: Cluster<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster<'a> {
    certificate_authority_data: &'a str,
    server: &'a str,
}

#[derive(Serialize)]
struct NamedContext<'a> {
    name: &'a str,
    context: Context<'a>,
}

#[derive(Serialize)]
struct Context<'a> {
    cluster: &'a str,
    user: &'a str,
}

#[derive(Serialize)]
struct NamedUser<'a> {
    name: &'a str,
    user: User<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct User<'a> {
    client_certificate_data: &'a str,
    client_key_data: &'a str,
}

/// The kubeconfig of `user` for the cluster named `name`, as YAML.
pub(super) fn render(name: &str, server: &str, ca: &[u8], user: &Leaf) -> Result<Secret<String>> {
    let authority = BASE64.encode(ca);
    let certificate = BASE64.encode(&user.certificate);
    let key = Secret::new(BASE64.encode(user.key.expose()));
    let config = Config {
        api_version: "v1",
        kind: "Config",
        clusters: [NamedCluster {
            name,
            cluster: Cluster { certificate_authority_data: &authority, server },
        }],
        contexts: [NamedContext { name, context: Context { cluster: name, user: name } }],
        current_context: name,
        users: [NamedUser {
            name,
            user: User { client_certificate_data: &certificate, client_key_data: key.expose() },
        }],
    };
    // The error is not shown: it could quote the key.
    serde_yaml::to_string(&config)
        .map(Secret::new)
        .map_err(|_| Error::new(Kind::Bug, "cannot write a kubeconfig"))
}
