//! How slipway proves who it is: a private key file, or the agent's keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, Handler};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{self, Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};

use crate::cluster::Ssh;
use crate::diagnostic::{Error, Kind, Result, printable};

/// How many of the agent's keys are tried. sshd allows six attempts by default, and newer ones shut
/// out an address that fails more.
const ATTEMPTS: usize = 6;

/// What to log in with.
pub(super) enum Identity {
    /// A private key file.
    File(PathBuf, Arc<PrivateKey>),
    /// The keys of the agent at `SSH_AUTH_SOCK`.
    Agent,
}

impl Identity {
    /// The key that the inventory names, or the agent.
    ///
    /// # Errors
    /// `Machine` when the file cannot be read, is open to others, is encrypted or is no key.
    pub(super) fn load(ssh: &Ssh) -> Result<Self> {
        match &ssh.identity {
            None => Ok(Self::Agent),
            Some(path) => Ok(Self::File(path.clone(), Arc::new(read(path)?))),
        }
    }

    /// Logs in as `user` on `node`.
    ///
    /// # Errors
    /// `Connection` when the node refuses; `Machine` when the agent has nothing to offer.
    pub(super) async fn log_in<H: Handler>(
        &self,
        handle: &mut Handle<H>,
        user: &str,
        node: &str,
    ) -> Result<()> {
        match self {
            Self::File(path, key) => {
                let hash = rsa_hash(handle, &key.algorithm()).await;
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                let result = handle.authenticate_publickey(user, key).await;
                let result = result.map_err(|e| broke_off(node, &e))?;
                accepted(handle, &result, node, || {
                    let shown = path.display();
                    Error::new(
                        Kind::Connection,
                        format!("`{node}` refused the key {shown} for the user `{user}`"),
                    )
                    .hint(format!("append {shown}.pub to ~{user}/.ssh/authorized_keys on `{node}`"))
                })
            }
            Self::Agent => with_agent(handle, user, node).await,
        }
    }
}

async fn with_agent<H: Handler>(handle: &mut Handle<H>, user: &str, node: &str) -> Result<()> {
    let none = |why: String| {
        Error::new(Kind::Machine, format!("no key to log in to `{node}` with: {why}"))
            .hint("name a private key in the inventory, or load one with `ssh-add`")
    };
    let mut agent = AgentClient::connect_env()
        .await
        .map_err(|e| none(format!("the inventory names none, and no agent answers ({e})")))?;
    let offered = agent.request_identities().await;
    let offered = offered.map_err(|e| none(format!("the agent does not list its keys ({e})")))?;
    let keys: Vec<_> = offered
        .into_iter()
        .filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(key),
            AgentIdentity::Certificate { .. } => None,
        })
        .take(ATTEMPTS)
        .collect();
    if keys.is_empty() {
        return Err(none("the inventory names none, and the agent holds none".to_owned()));
    }
    let mut refused = Error::new(
        Kind::Connection,
        format!("`{node}` refused the agent's keys for the user `{user}`"),
    )
    .hint(format!("append one of their public halves to ~{user}/.ssh/authorized_keys on `{node}`"));
    for key in keys {
        refused = refused.note(format!("tried {}", key.fingerprint(HashAlg::Sha256)));
        let hash = rsa_hash(handle, &key.algorithm()).await;
        match handle.authenticate_publickey_with(user, key, hash, &mut agent).await {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(result) => drop(accepted(handle, &result, node, || refused.clone())),
            Err(e) => refused = refused.note(format!("the agent did not sign: {e}")),
        }
        if handle.is_closed() {
            return Err(broke_off(node, &"the node hung up"));
        }
    }
    Err(refused)
}

/// The hash for an RSA signature: the best that the server names, and never SHA-1.
async fn rsa_hash<H: Handler>(handle: &Handle<H>, algorithm: &Algorithm) -> Option<HashAlg> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return None;
    }
    let named = handle.best_supported_rsa_hash().await.ok().flatten().flatten();
    Some(named.unwrap_or(HashAlg::Sha512))
}

fn accepted<H: Handler>(
    handle: &Handle<H>,
    result: &AuthResult,
    node: &str,
    refused: impl FnOnce() -> Error,
) -> Result<()> {
    match result {
        AuthResult::Success => Ok(()),
        // russh also says so when the connection ended.
        AuthResult::Failure { .. } if handle.is_closed() => {
            Err(broke_off(node, &"the node hung up"))
        }
        AuthResult::Failure { partial_success: true, remaining_methods } => {
            let more: Vec<&str> = remaining_methods.iter().map(Into::into).collect();
            Err(refused().note(format!("it took the key, but also wants: {}", more.join(", "))))
        }
        AuthResult::Failure { .. } => Err(refused()),
    }
}

fn broke_off(node: &str, why: &dyn std::fmt::Display) -> Error {
    let why = printable(&why.to_string());
    Error::new(Kind::Connection, format!("logging in to `{node}` broke off: {why}"))
}

fn read(path: &Path) -> Result<PrivateKey> {
    let shown = path.display();
    let cannot = |e: &dyn std::fmt::Display| {
        Error::new(Kind::Machine, format!("cannot read the private key {shown}: {e}"))
    };
    let mode = fs::metadata(path).map_err(|e| cannot(&e))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("the private key {shown} is open to others (mode {mode:04o})");
        return Err(Error::new(Kind::Machine, message).hint(format!("chmod 600 '{shown}'")));
    }
    let text = fs::read_to_string(path).map_err(|e| cannot(&e))?;
    decode_secret_key(&text, None).map_err(|e| {
        let locked = matches!(e, keys::Error::KeyIsEncrypted) || text.contains("ENCRYPTED");
        if locked {
            Error::new(Kind::Machine, format!("the private key {shown} has a passphrase")).hint(
                format!("`ssh-add '{shown}'`, and name no key in the inventory: the agent's are used then"),
            )
        } else {
            cannot(&e)
        }
    })
}
