//! What may pass by itself is waited for: a lost connection, an API server that is busy. The node is
//! looked at again then, so nothing is repeated blindly.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::settle::{Differing, settle};
use super::{Node, Permit};
use crate::diagnostic::{Error, Kind, Result};
use crate::event::{Event, Sink};
use crate::host::Transport;
use crate::probe::Probe;
use crate::resource::Resource;

/// How long one step may be troubled before its error counts.
const LIMIT: Duration = Duration::from_secs(180);

/// How long a command that outlived its connection may take: as long as kubeadm may.
const UNITS: Duration = Duration::from_secs(900);

/// A lease that this run lost with its connection is free again after 15 s.
const OWN_LEASE: Duration = Duration::from_secs(20);

/// [`settle`], again and again while what fails may pass. Gives also whether it was tried again.
///
/// # Errors
/// As [`settle`]; a passing error after 180 s, and then it says so.
pub(super) async fn persevere<'a, T: Transport>(
    node: &Node<T>,
    step: &'static str,
    wants: &'a [Box<dyn Resource>],
    permit: &Permit,
    events: &dyn Sink,
) -> Result<(Vec<Differing<'a>>, bool)> {
    let began = Instant::now();
    let mut pause = Duration::from_secs(1);
    let mut again = false;
    loop {
        let error = match settle(node, step, wants, permit, events).await {
            Ok(changed) => return Ok((changed, again)),
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => error,
        };
        again = true;
        let late =
            |error: Error| error.note(format!("it did not pass within {} s", LIMIT.as_secs()));
        if began.elapsed() > LIMIT {
            return Err(late(error));
        }
        let tell = |reason: String| {
            events.take(Event::Waiting { node: node.name().to_owned(), step, reason });
        };
        if error.kind() == Kind::Connection {
            tell("its connection, which was lost".to_owned());
            let left = LIMIT.saturating_sub(began.elapsed());
            match tokio::time::timeout(left, node.reach_again()).await {
                Err(_) | Ok(Err(_)) => return Err(late(error)),
                Ok(Ok(rebooted)) if rebooted => {
                    tell("nothing more: it rebooted, and the step begins again".to_owned());
                }
                Ok(Ok(_)) => {}
            }
            node.wait_for_units(UNITS).await?;
        } else {
            tell(format!("this to pass: {}", error.message()));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(15));
        }
    }
}

impl<T: Transport> Node<T> {
    /// Connects again, as often as it takes, and takes the lease again; gives whether the node has
    /// rebooted since [`Node::booted`]. Ends only with success or an error that does not pass.
    async fn reach_again(&self) -> Result<bool> {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.try_again().await {
                Err(error) if error.is_passing() => {}
                result => return result,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(8));
        }
    }

    async fn try_again(&self) -> Result<bool> {
        self.transport.reconnect().await?;
        let answer = self.look(&[Probe::boot_id()]).await?;
        let now = answer.first().map(crate::command::Output::text).unwrap_or_default();
        let held = self.lease.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if held && self.lost_lease() {
            self.take_lease("the same run, after its connection was lost", OWN_LEASE).await?;
        }
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        let rebooted = boot.as_deref().is_some_and(|then| then != now.trim());
        *boot = Some(now.trim().to_owned());
        Ok(rebooted)
    }

    /// Notes the node's boot id, so that a reboot is recognised.
    pub fn booted(&self, boot_id: &str) {
        *self.boot.lock().unwrap_or_else(PoisonError::into_inner) = Some(boot_id.to_owned());
    }

    /// Waits until no command that outlived its connection works on the node any more.
    ///
    /// # Errors
    /// `Timeout` after `limit`, and what still works.
    pub async fn wait_for_units(&self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            let seen = self.look(&[Probe::running()]).await?;
            let units = seen.first().map(crate::command::Output::text).unwrap_or_default();
            let Some(unit) = units.lines().next() else { return Ok(()) };
            if began.elapsed() > limit {
                let unit = crate::diagnostic::printable(unit);
                let message =
                    format!("{unit}, begun by an earlier run, still works on {}", self.name);
                return Err(Error::new(Kind::Timeout, message)
                    .hint("its output is in /run/slipway on the node; `systemctl stop` ends it"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}
