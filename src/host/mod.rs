//! Nodes as slipway reaches them: the [`Transport`] that carries commands, and SSH, the real one.

pub mod known_hosts;
pub mod ssh;
pub mod trust;

mod exec;
mod keys;
mod socket;

use std::future::Future;

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
}
