//! SSH, the real [`Transport`]: one connection to one node, with bounded handshakes, verified host
//! keys and a dead peer noticed within seconds.
//!
//! It never reconnects and never repeats a command: what a command did before its connection was
//! lost is for the caller to find out. Bastions would be a second way to make the `Socket`,
//! passwords a third `Identity`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, Disconnect, Names, Preferred, cipher, compression, kex};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Transport;
use super::exec::{self, Failure};
use super::keys::Identity;
use super::known_hosts::{HostKeys, UnknownKey, Verdict};
use super::socket::{self, Hangup};
use super::trust::Trust;
use crate::cluster::Ssh;
use crate::command::{Cmd, Output};
use crate::diagnostic::{Error, Kind, Result, printable};

/// How long a TCP connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the handshake and the login may take together.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Handshakes at once, over all nodes: sshd's `MaxStartups` drops connections from the tenth on,
/// and nodes may share one address.
static HANDSHAKES: Semaphore = Semaphore::const_new(8);

/// Commands at once on one connection. sshd allows 10 sessions, but frees them late.
const CHANNELS: usize = 4;

/// Pauses before the repetitions of a channel request that sshd refused, in milliseconds.
const PAUSES: [u64; 8] = [5, 10, 20, 50, 100, 200, 400, 800];

/// Key exchange: none with SHA-1 or small groups. The last two are signals, not methods.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// Ciphers: authenticated ones only, the fastest first.
const CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305];

/// A connection to one node. Shared by reference or in an `Arc`; dropping it hangs up.
pub struct SshHost {
    node: String,
    user: String,
    handle: Handle<Verifier>,
    slots: Semaphore,
    execs: AtomicUsize,
    _hangup: Hangup,
}

impl SshHost {
    /// Connects to the node named `node`, checks who it is, and logs in.
    ///
    /// # Errors
    /// `Connection` when it cannot be reached, is not who it should be, or refuses the login;
    /// `Machine` or `Inventory` when a file that this needs is missing or wrong.
    pub async fn connect(ssh: &Ssh, node: &str, trust: &dyn Trust) -> Result<Self> {
        let identity = Identity::load(ssh)?;
        let keys = HostKeys::load(ssh).map_err(|e| e.context(format!("`{node}`")))?;
        let question = match Self::handshake(ssh, node, &identity, keys.clone()).await {
            Ok(host) => return Ok(host),
            Err(Refusal::Unknown(question)) => question,
            Err(refusal) => return Err(refusal.explain(ssh, node)),
        };
        // Asked between two connections, so that neither sshd nor our own limits wait for a person.
        if !trust.accept(&question).await {
            return Err(Refusal::Unknown(question).explain(ssh, node));
        }
        keys.remember(&question.key)?;
        let keys = keys.pin(&question.key)?;
        Self::handshake(ssh, node, &identity, keys).await.map_err(|e| e.explain(ssh, node))
    }

    async fn handshake(
        ssh: &Ssh,
        node: &str,
        identity: &Identity,
        keys: HostKeys,
    ) -> Result<Self, Refusal> {
        let _permit = HANDSHAKES.acquire().await.map_err(|_| russh::Error::Disconnect)?;
        let opening = timeout(CONNECT, socket::connect(&ssh.host, ssh.port)).await;
        let (socket, hangup) = opening
            .map_err(|_| Refusal::Unreachable(format!("no answer in {} s", CONNECT.as_secs())))?
            .map_err(|e| Refusal::Unreachable(e.to_string()))?;
        let config = Arc::new(config(&keys));
        let greeting = async {
            let mut handle = client::connect_stream(config, socket, Verifier(keys)).await?;
            identity.log_in(&mut handle, &ssh.user, node).await.map_err(Refusal::Final)?;
            Ok::<_, Refusal>(handle)
        };
        let handle = timeout(HANDSHAKE, greeting).await.map_err(|_| {
            Refusal::Unreachable(format!("no SSH login within {} s", HANDSHAKE.as_secs()))
        })??;
        Ok(Self {
            node: node.to_owned(),
            user: ssh.user.clone(),
            handle,
            slots: Semaphore::new(CHANNELS),
            execs: AtomicUsize::new(0),
            _hangup: hangup,
        })
    }

    /// How many commands were started over this connection.
    #[must_use]
    pub fn execs(&self) -> usize {
        self.execs.load(Ordering::Relaxed)
    }

    /// Says goodbye and hangs up; takes a second at most.
    pub async fn close(mut self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
        let _ = timeout(Duration::from_secs(1), &mut self.handle).await;
    }

    async fn channel(&self) -> Result<Channel<Msg>, russh::Error> {
        for pause in PAUSES {
            match self.handle.channel_open_session().await {
                Err(russh::Error::ChannelOpenFailure(_)) => {
                    sleep(Duration::from_millis(pause)).await;
                }
                result => return result,
            }
        }
        self.handle.channel_open_session().await
    }

    async fn exec(&self, cmd: &Cmd) -> Result<Output> {
        let node = &self.node;
        let channel = self.channel().await.map_err(|e| {
            let message =
                format!("cannot start `{cmd}` on `{node}`: {}", printable(&e.to_string()));
            Error::new(Kind::Connection, message)
                .hint(format!("its sshd must allow {CHANNELS} sessions at once (MaxSessions)"))
        })?;
        self.execs.fetch_add(1, Ordering::Relaxed);
        let sudo = self.user != "root";
        let result = exec::exec(channel, exec::line(cmd, sudo), cmd.input()).await;
        let output = result.map_err(|failure| match failure {
            Failure::Lost => Error::new(
                Kind::Connection,
                format!(
                    "lost the connection to `{node}` while `{cmd}` ran; what it did is unknown"
                ),
            ),
            Failure::Refused => Error::new(
                Kind::Connection,
                format!("`{node}` runs no commands for the user `{}`", self.user),
            ),
            Failure::Input(e) => {
                Error::new(Kind::Command, format!("cannot send the input of `{cmd}`: {e}"))
                    .note(format!("the command was ended on `{node}` before it had all of it"))
            }
            Failure::TooMuch => Error::new(
                Kind::Command,
                format!("`{cmd}` printed more than {} MiB on `{node}`", exec::STDOUT_CAP >> 20),
            ),
        })?;
        if sudo && exec::wants_password(&output) {
            let message =
                format!("the user `{}` needs sudo without a password on `{node}`", self.user);
            return Err(Error::new(Kind::Preflight, message).hint(format!(
                "on `{node}`, as root: echo '{} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/slipway",
                self.user
            )));
        }
        Ok(output)
    }
}

impl Transport for SshHost {
    async fn run(&self, cmd: &Cmd) -> Result<Output> {
        let _slot = self.slots.acquire().await;
        timeout(cmd.limit(), self.exec(cmd)).await.unwrap_or_else(|_| {
            let message = format!("`{cmd}` took longer than {:?} on `{}`", cmd.limit(), self.node);
            Err(Error::new(Kind::Timeout, message).note("it may still be running there"))
        })
    }
}

fn config(keys: &HostKeys) -> client::Config {
    client::Config {
        preferred: Preferred {
            kex: KEX.into(),
            key: keys.algorithms().into(),
            cipher: CIPHERS.into(),
            compression: (&[compression::NONE]).into(),
            ..Preferred::DEFAULT
        },
        // No `inactivity_timeout`: it would end long commands that print nothing.
        keepalive_interval: Some(Duration::from_secs(2)),
        keepalive_max: 3,
        ..client::Config::default()
    }
}

/// Checks the node's key while russh shakes hands.
struct Verifier(HostKeys);

/// Why there is no connection.
enum Refusal {
    Unreachable(String),
    Unknown(UnknownKey),
    Final(Error),
    Ssh(russh::Error),
}

impl From<russh::Error> for Refusal {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusal")
    }
}

impl client::Handler for Verifier {
    type Error = Refusal;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refusal> {
        match self.0.judge(&shown.public_key()) {
            Verdict::Trusted => Ok(true),
            Verdict::Unknown(question) => Err(Refusal::Unknown(question)),
            Verdict::Rejected(error) => Err(Refusal::Final(error)),
        }
    }

    /// chacha20-poly1305 is safe from prefix truncation (CVE-2023-48795) only with strict exchange.
    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        _: &mut client::Session,
    ) -> Result<(), Refusal> {
        if names.cipher == cipher::CHACHA20_POLY1305 && !names.strict_kex() {
            return Err(russh::Error::NoCommonAlgo {
                kind: russh::AlgorithmKind::Cipher,
                ours: vec![cipher::AES_256_GCM.as_ref().to_owned()],
                theirs: vec![names.cipher.as_ref().to_owned()],
            }
            .into());
        }
        Ok(())
    }
}

impl Refusal {
    fn explain(self, ssh: &Ssh, node: &str) -> Error {
        let place = format!("`{node}` ({}@{}:{})", ssh.user, ssh.host, ssh.port);
        match self {
            Self::Unreachable(why) => {
                Error::new(Kind::Connection, format!("cannot connect to {place}: {why}"))
            }
            Self::Ssh(e) => {
                let e = printable(&e.to_string());
                Error::new(Kind::Connection, format!("cannot connect to {place} by SSH: {e}"))
            }
            Self::Final(error) => error,
            Self::Unknown(UnknownKey { host, key, fingerprint, note }) => {
                let message = format!("the host key of `{node}` ({host}) is unknown");
                let error = Error::new(Kind::Connection, message)
                    .note(format!("it shows {fingerprint}"))
                    .note(note.unwrap_or_default());
                error.hint(format!(
                    "compare it on the machine (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), \
                     then pin it in the inventory: hostKey: {key}"
                ))
            }
        }
    }
}
