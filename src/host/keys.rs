//! How slipway proves who it is: a private key file, the agent's keys, or one of them, by its public
//! half.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, Handler};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    self, Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key,
};

use crate::cluster::Ssh;
use crate::diagnostic::{Error, Kind, Result, printable};

/// How many of the agent's keys are tried. sshd allows six attempts by default, and newer ones shut
/// out an address that fails more.
const ATTEMPTS: usize = 6;

/// What to log in with.
pub(super) enum Identity {
    /// A private key file.
    File(PathBuf, Arc<PrivateKey>),
    /// The keys of the agent at `SSH_AUTH_SOCK`; only this one, where a file with its public half is
    /// named.
    Agent(Option<(PathBuf, PublicKey)>),
}

impl Identity {
    /// The key that the inventory names, itself or by its public half, or the agent.
    ///
    /// # Errors
    /// `Machine` when the file cannot be read, is open to others, is encrypted or is no key.
    pub(super) fn load(ssh: &Ssh) -> Result<Self> {
        match &ssh.identity {
            None => Ok(Self::Agent(None)),
            Some(path) => match public(path) {
                Some(key) => Ok(Self::Agent(Some((path.clone(), key)))),
                None => Ok(Self::File(path.clone(), Arc::new(read(path)?))),
            },
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
            Self::Agent(named) => with_agent(handle, user, node, named.as_ref()).await,
        }
    }
}

async fn with_agent<H: Handler>(
    handle: &mut Handle<H>,
    user: &str,
    node: &str,
    named: Option<&(PathBuf, PublicKey)>,
) -> Result<()> {
    let none = |why: String| {
        let message = format!("no key to log in to `{node}` with: {why}");
        let private = named.map(|(path, _)| path.with_extension(""));
        Error::new(Kind::Machine, message).hint(match private {
            Some(private) => format!("load it: `ssh-add '{}'`", private.display()),
            None => "name a private key in the inventory, or load one with `ssh-add`".to_owned(),
        })
    };
    let wanted = match named {
        Some((path, _)) => format!("the inventory names the public key {}", path.display()),
        None => "the inventory names none".to_owned(),
    };
    let mut agent = AgentClient::connect_env()
        .await
        .map_err(|e| none(format!("{wanted}, and no agent answers ({e})")))?;
    let offered = agent.request_identities().await;
    let offered = offered.map_err(|e| none(format!("the agent does not list its keys ({e})")))?;
    let mut keys: Vec<PublicKey> = offered
        .into_iter()
        .filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(key),
            AgentIdentity::Certificate { .. } => None,
        })
        .collect();
    let held = keys.len();
    if let Some((_, named)) = named {
        keys.retain(|key| key.key_data() == named.key_data());
    }
    if keys.is_empty() {
        return Err(none(match held {
            0 => format!("{wanted}, and the agent holds none"),
            _ => format!("{wanted}, and it is none of the agent's {held} keys"),
        }));
    }
    let (total, mut tried) = (keys.len(), Vec::new());
    for key in keys.into_iter().take(ATTEMPTS) {
        tried.push(format!("tried {}", key.fingerprint(HashAlg::Sha256)));
        let hash = rsa_hash(handle, &key.algorithm()).await;
        match handle.authenticate_publickey_with(user, key, hash, &mut agent).await {
            Ok(AuthResult::Failure { partial_success: false, .. }) => {}
            Ok(result) => {
                let error = || Error::new(Kind::Connection, format!("`{node}` wants more keys"));
                return accepted(handle, &result, node, error);
            }
            Err(e) => tried.push(format!("the agent did not sign: {e}")),
        }
        if handle.is_closed() {
            break;
        }
    }
    Err(refused(user, node, total, &tried, handle.is_closed()))
}

/// None of the agent's keys that were `tried`, of `total`, is the right one.
fn refused(user: &str, node: &str, total: usize, tried: &[String], hung_up: bool) -> Error {
    let count = tried.iter().filter(|line| line.starts_with("tried ")).count();
    let append =
        format!("append one of their public halves to ~{user}/.ssh/authorized_keys on `{node}`");
    let (what, hint) = if count == total {
        (format!("refused the agent's keys for the user `{user}`"), append)
    } else {
        let limit = if hung_up {
            "hung up then: its sshd allows no more attempts (MaxAuthTries)".to_owned()
        } else {
            format!("no more were tried: sshd allows {ATTEMPTS} attempts")
        };
        let what = format!(
            "refused {count} of the agent's {total} keys for the user `{user}`, and {limit}"
        );
        let name = "name the right key in the inventory (`identityFile`: a private key, or the \
                    public half of one that the agent holds)";
        (what, format!("{name}; or {append}"))
    };
    let error = Error::new(Kind::Connection, format!("`{node}` {what}")).hint(hint);
    tried.iter().fold(error, |error, line| error.note(line))
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

/// The key in a public key file of OpenSSH's, as `ssh-keygen` writes it; `None` for any other file.
fn public(path: &Path) -> Option<PublicKey> {
    PublicKey::from_openssh(fs::read_to_string(path).ok()?.trim()).ok()
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
                format!("`ssh-add '{shown}'`, and name {shown}.pub in the inventory: the agent's key is used then"),
            )
        } else {
            cannot(&e)
        }
    })
}
