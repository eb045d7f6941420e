//! Nodes as slipway reaches them: the [`Transport`] that carries commands, and SSH, the real one.

pub mod known_hosts;
pub mod ssh;
pub mod trust;

mod barred;
mod exec;
mod handshake;
mod keys;
mod line;
mod socket;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

pub use ssh::SshHost;
pub use trust::{Ask, Refuse, Trust};

use crate::command::{Cmd, Output};
use crate::diagnostic::Result;

/// Carries commands to one node and their output back, as root on that node.
pub trait Transport: Send + Sync {
    /// Runs `cmd` to its end; any exit code is a result. The command sees the end of its input only
    /// after all of it; whatever else happens, it is killed first.
    ///
    /// # Errors
    /// `Connection` when the connection was lost: what the command did is unknown then. `Timeout`
    /// when the command's limit has passed.
    fn run(&self, cmd: &Cmd) -> impl Future<Output = Result<Output>> + Send;

    /// Starts `cmd` and waits until it prints the line `held`; feeds it a byte every `heartbeat` for as
    /// long as the [`Hold`] lives. A command that ends before that gives its output instead.
    ///
    /// # Errors
    /// As [`Transport::run`].
    fn hold(
        &self,
        cmd: &Cmd,
        heartbeat: Duration,
    ) -> impl Future<Output = Result<Result<Hold, Output>>> + Send;

    /// Reconnects, if the connection is lost, to the same machine (by its host key).
    ///
    /// # Errors
    /// `Connection` when that fails.
    fn reconnect(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A command that goes on for as long as this lives.
#[derive(Debug, Default)]
pub struct Hold {
    lost: Arc<AtomicBool>,
    heartbeat: Option<JoinHandle<()>>,
}

impl Hold {
    /// Whether the command has ended, or cannot be fed any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.abort();
        }
    }
}
