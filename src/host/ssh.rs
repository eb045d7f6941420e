//! SSH, the real [`Transport`]: one connection to one node, with bounded handshakes, verified host
//! keys and a dead peer noticed within seconds.
//!
//! It never reconnects on its own and never repeats a command: the caller finds out what a command did
//! before its connection was lost. Bastions would be a second way to make the `Socket`,
//! passwords a third `Identity`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString as _};
use russh::client::{self, Handle, Msg};
use russh::{Channel, Disconnect};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use super::exec::{self, Failure};

use super::handshake::{Refusal, Verifier, config};
use super::keys::Identity;
use super::known_hosts::HostKeys;
use super::socket::{self, Hangup};
use super::trust::Trust;
use super::{Hold, Transport, barred, line};
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

/// Pauses before retrying a handshake that the machine broke off, in milliseconds: an sshd
/// with too many at once (`MaxStartups`) drops some of them, at random.
const AGAIN: [u64; 4] = [200, 500, 1000, 2000];

/// Commands at once on one connection, beside the one that holds the lease. sshd allows 10 sessions,
/// hardened ones (CIS's benchmark) 4; where it allows fewer, there are fewer at once.
const CHANNELS: usize = 3;

/// Pauses before the repetitions of a channel request that sshd refused, in milliseconds: it frees
/// the sessions of commands that have ended a little late.
const PAUSES: [u64; 8] = [5, 10, 20, 50, 100, 200, 400, 800];

/// A connection to one node. Shared by reference or in an `Arc`; dropping it hangs up.
pub struct SshHost {
    node: String,
    ssh: Ssh,
    identity: Identity,
    keys: HostKeys,
    line: Mutex<Arc<Line>>,
    slots: Semaphore,
    /// How many slots there still are, taken or not.
    width: AtomicUsize,
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
            width: AtomicUsize::new(CHANNELS),
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
        let handshake = async {
            let mut handle = client::connect_stream(config, socket, Verifier(keys)).await?;
            identity.log_in(&mut handle, &ssh.user, node).await.map_err(Refusal::Final)?;
            Ok::<_, Refusal>(handle)
        };
        let handle = timeout(HANDSHAKE, handshake).await.map_err(|_| {
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

    /// A channel for `cmd`, in a slot of its own. A machine that refuses one while others are open
    /// allows fewer than there are slots: there is one less from then on.
    async fn channel_in_slot(&self, cmd: &Cmd) -> Result<(SemaphorePermit<'_>, Channel<Msg>)> {
        loop {
            // The semaphore is never closed.
            let slot = self.slots.acquire().await.map_err(|_| self.no_channel(cmd, "closed"))?;
            match self.channel().await {
                Ok(channel) => return Ok((slot, channel)),
                Err(russh::Error::ChannelOpenFailure(_)) if self.narrow() => slot.forget(),
                Err(e) => return Err(self.no_channel(cmd, &e.to_string())),
            }
        }
    }

    /// Gives up one slot, if another is left.
    fn narrow(&self) -> bool {
        let fewer = |width: usize| (width > 1).then(|| width - 1);
        self.width.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    fn no_channel(&self, cmd: &Cmd, why: &str) -> Error {
        let message = format!("cannot start `{cmd}` on `{}`: {}", self.node, printable(why));
        Error::new(Kind::Connection, message)
            .hint(format!(
                "its sshd must allow 2 sessions on one connection, better {} (MaxSessions)",
                CHANNELS + 1
            ))
            .passing()
    }

    /// The line for `cmd`, which is counted as started.
    fn line_for(&self, cmd: &Cmd) -> exec::Line {
        self.execs.fetch_add(1, Ordering::Relaxed);
        let mark = Alphanumeric.sample_string(&mut rand::rng(), 16);
        exec::Line { text: line::line(cmd, self.ssh.user != "root", &mark), mark }
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
            Failure::Barred(output) => barred::explain(node, &self.ssh.user, &output),
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
}

impl Transport for SshHost {
    async fn run(&self, cmd: &Cmd) -> Result<Output> {
        let (_slot, channel) = self.channel_in_slot(cmd).await?;
        let running = exec::exec(channel, self.line_for(cmd), cmd.input());
        let output = timeout(cmd.limit(), running).await.map_err(|_| {
            let message = format!("`{cmd}` took longer than {:?} on `{}`", cmd.limit(), self.node);
            Error::new(Kind::Timeout, message).note("it may still be running there")
        })?;
        output.map_err(|failure| self.failed(cmd, failure))
    }

    // Not in a slot: it lasts as long as the run.
    async fn hold(&self, cmd: &Cmd, heartbeat: Duration) -> Result<Result<Hold, Output>> {
        let channel = self.channel().await.map_err(|e| self.no_channel(cmd, &e.to_string()))?;
        let holding = exec::hold(channel, self.line_for(cmd), heartbeat);
        let held = timeout(cmd.limit(), holding).await.map_err(|_| {
            let message =
                format!("`{cmd}` did not start within {:?} on `{}`", cmd.limit(), self.node);
            Error::new(Kind::Timeout, message)
        })?;
        held.map_err(|failure| self.failed(cmd, failure))
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
