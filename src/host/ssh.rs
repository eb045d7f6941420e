//! SSH, the real [`Transport`]: one connection to one node, with bounded handshakes, verified host
//! keys and a dead peer noticed within seconds.
//!
//! It never reconnects by itself and never repeats a command: what a command did before its
//! connection was lost is for the caller to find out. Bastions would be a second way to make the `Socket`,
//! passwords a third `Identity`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::{Channel, Disconnect};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::exec::{self, Failure};
use super::greeting::{Refusal, Verifier, config};
use super::keys::Identity;
use super::known_hosts::HostKeys;
use super::socket::{self, Hangup};
use super::trust::Trust;
use super::{Hold, Transport};
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

/// Pauses before a handshake is begun again that the machine broke off, in milliseconds: an sshd
/// with too many at once (`MaxStartups`) drops some of them, at random.
const AGAIN: [u64; 4] = [200, 500, 1000, 2000];

/// Commands at once on one connection. sshd allows 10 sessions, but frees them late.
const CHANNELS: usize = 4;

/// Pauses before the repetitions of a channel request that sshd refused, in milliseconds.
const PAUSES: [u64; 8] = [5, 10, 20, 50, 100, 200, 400, 800];

/// A connection to one node. Shared by reference or in an `Arc`; dropping it hangs up.
pub struct SshHost {
    node: String,
    ssh: Ssh,
    identity: Identity,
    keys: HostKeys,
    line: Mutex<Arc<Line>>,
    slots: Semaphore,
    execs: AtomicUsize,
}

/// What a connection consists of.
struct Line {
    handle: Handle<Verifier>,
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
            Ok(line) => return Ok(Self::over(line, ssh, node, identity, keys)),
            Err(Refusal::Unknown(question)) => question,
            Err(refusal) => return Err(refusal.explain(ssh, node)),
        };
        // Asked between two connections, so that neither sshd nor our own limits wait for a person.
        if !trust.accept(&question).await {
            return Err(Refusal::Unknown(question).explain(ssh, node));
        }
        keys.remember(&question.key)?;
        let keys = keys.pin(&question.key)?;
        let line = Self::handshake(ssh, node, &identity, keys.clone()).await;
        let line = line.map_err(|e| e.explain(ssh, node))?;
        Ok(Self::over(line, ssh, node, identity, keys))
    }

    fn over(line: Line, ssh: &Ssh, node: &str, identity: Identity, keys: HostKeys) -> Self {
        Self {
            node: node.to_owned(),
            ssh: ssh.clone(),
            identity,
            keys,
            line: Mutex::new(Arc::new(line)),
            slots: Semaphore::new(CHANNELS),
            execs: AtomicUsize::new(0),
        }
    }

    fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn handshake(
        ssh: &Ssh,
        node: &str,
        identity: &Identity,
        keys: HostKeys,
    ) -> Result<Line, Refusal> {
        for pause in AGAIN {
            match Self::one_handshake(ssh, node, identity, keys.clone()).await {
                Err(refusal) if refusal.was_dropped() => sleep(Duration::from_millis(pause)).await,
                result => return result,
            }
        }
        Self::one_handshake(ssh, node, identity, keys).await
    }

    async fn one_handshake(
        ssh: &Ssh,
        node: &str,
        identity: &Identity,
        keys: HostKeys,
    ) -> Result<Line, Refusal> {
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
        Ok(Line { handle, _hangup: hangup })
    }

    /// How many commands were started over this connection.
    #[must_use]
    pub fn execs(&self) -> usize {
        self.execs.load(Ordering::Relaxed)
    }

    /// Says goodbye and hangs up; takes a second at most.
    pub async fn close(self) {
        let line = self.line.into_inner().unwrap_or_else(PoisonError::into_inner);
        let _ = line.handle.disconnect(Disconnect::ByApplication, "", "").await;
        if let Some(mut line) = Arc::into_inner(line) {
            let _ = timeout(Duration::from_secs(1), &mut line.handle).await;
        }
    }

    async fn channel(&self) -> Result<Channel<Msg>, russh::Error> {
        let line = self.line();
        for pause in PAUSES {
            match line.handle.channel_open_session().await {
                Err(russh::Error::ChannelOpenFailure(_)) => {
                    sleep(Duration::from_millis(pause)).await;
                }
                result => return result,
            }
        }
        line.handle.channel_open_session().await
    }

    async fn start(&self, cmd: &Cmd) -> Result<(Channel<Msg>, String)> {
        let node = &self.node;
        let channel = self.channel().await.map_err(|e| {
            let message =
                format!("cannot start `{cmd}` on `{node}`: {}", printable(&e.to_string()));
            Error::new(Kind::Connection, message)
                .hint(format!("its sshd must allow {CHANNELS} sessions at once (MaxSessions)"))
                .passing()
        })?;
        self.execs.fetch_add(1, Ordering::Relaxed);
        Ok((channel, exec::line(cmd, self.ssh.user != "root")))
    }

    fn failed(&self, cmd: &Cmd, failure: Failure) -> Error {
        let node = &self.node;
        match failure {
            Failure::Lost => Error::new(
                Kind::Connection,
                format!(
                    "lost the connection to `{node}` while `{cmd}` ran; what it did is unknown"
                ),
            )
            .passing(),
            Failure::Refused => Error::new(
                Kind::Connection,
                format!("`{node}` runs no commands for the user `{}`", self.ssh.user),
            ),
            Failure::Input(e) => {
                Error::new(Kind::Command, format!("cannot send the input of `{cmd}`: {e}"))
                    .note(format!("the command was ended on `{node}` before it had all of it"))
            }
            Failure::TooMuch => Error::new(
                Kind::Command,
                format!("`{cmd}` printed more than {} MiB on `{node}`", exec::STDOUT_CAP >> 20),
            ),
        }
    }

    async fn exec(&self, cmd: &Cmd) -> Result<Output> {
        let (channel, line) = self.start(cmd).await?;
        let output = exec::exec(channel, line, cmd.input()).await;
        let output = output.map_err(|failure| self.failed(cmd, failure))?;
        self.may(&output)?;
        Ok(output)
    }

    /// Tells a command that did what it could from one that sudo did not let begin.
    fn may(&self, output: &Output) -> Result<()> {
        let (node, user) = (&self.node, &self.ssh.user);
        let Some(why) = exec::sudo_failed(output).filter(|_| user != "root") else { return Ok(()) };
        let message = format!("the user `{user}` needs sudo without a password on `{node}`: {why}");
        Err(Error::new(Kind::Preflight, message).hint(format!(
            "on `{node}`, as root: echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/slipway"
        )))
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

    // Not in a slot: it lasts as long as the run.
    async fn hold(&self, cmd: &Cmd, beat: Duration) -> Result<Result<Hold, Output>> {
        let holding = async {
            let (channel, line) = self.start(cmd).await?;
            let held = exec::hold(channel, line, beat).await;
            let held = held.map_err(|failure| self.failed(cmd, failure))?;
            held.as_ref().err().map_or(Ok(()), |output| self.may(output))?;
            Ok(held)
        };
        timeout(cmd.limit(), holding).await.unwrap_or_else(|_| {
            let message = format!("`{cmd}` did not begin in {:?} on `{}`", cmd.limit(), self.node);
            Err(Error::new(Kind::Timeout, message))
        })
    }

    async fn reconnect(&self) -> Result<()> {
        if !self.line().handle.is_closed() {
            return Ok(());
        }
        let keys = self.keys.clone();
        let line = Self::handshake(&self.ssh, &self.node, &self.identity, keys).await;
        let line = line.map_err(|refusal| refusal.explain(&self.ssh, &self.node))?;
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(line);
        Ok(())
    }
}
