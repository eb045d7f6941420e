//! Retries steps whose error may pass: a lost connection, a busy API server. Each attempt looks at the node
//! again first, so no command is repeated blindly.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::differing::Differing;
use super::reconcile::reconcile;
use super::{Node, Permit};
use crate::diagnostic::{Error, Kind, Result};
use crate::event::{Event, Sink};
use crate::host::Transport;
use crate::pause::Pauses;
use crate::probe::Probe;
use crate::resource::Resource;

/// How long a step is retried before its error counts.
const LIMIT: Duration = Duration::from_secs(180);

/// How long a command that outlived its connection may take: as long as kubeadm may.
const UNITS: Duration = Duration::from_secs(900);

/// A lease that this run lost with its connection is free again after 15 s.
const OWN_LEASE: Duration = Duration::from_secs(20);

/// [`reconcile`], retried with growing pauses while its error may pass. Returns also whether there was a
/// retry.
///
/// # Errors
/// As [`reconcile`]; an error that may pass counts after 180 s, with a note that says so.
pub(super) async fn reconcile_with_retries<'a, T: Transport>(
    node: &Node<T>,
    leader: &Node<T>,
    step: &'static str,
    wants: &'a [Box<dyn Resource>],
    permit: &Permit,
    events: &dyn Sink,
) -> Result<(Vec<Differing<'a>>, bool)> {
    let began = Instant::now();
    let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(15));
    let mut retried = false;
    loop {
        let error = match reconcile(node, leader, step, wants, permit, events).await {
            Ok(changed) => return Ok((changed, retried)),
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => error,
        };
        retried = true;
        let late = |error: Error| error.note(format!("it kept failing for {} s", LIMIT.as_secs()));
        if began.elapsed() > LIMIT {
            return Err(late(error));
        }
        let tell = |reason: String| {
            events.take(Event::Waiting { node: node.name().to_owned(), step, reason });
        };
        if error.kind() == Kind::Connection {
            tell("its lost connection".to_owned());
            let left = LIMIT.saturating_sub(began.elapsed());
            let reconnected = async {
                // Who does not need the leader does not wait for it.
                if leader.name() != node.name() && wants.iter().any(|want| want.on_leader()) {
                    leader.reconnect().await?;
                }
                node.reconnect().await
            };
            match tokio::time::timeout(left, reconnected).await {
                Err(_) | Ok(Err(_)) => return Err(late(error)),
                Ok(Ok(rebooted)) if rebooted => {
                    tell("the step to start again: the node rebooted".to_owned());
                }
                Ok(Ok(_)) => {}
            }
            node.wait_for_units(UNITS).await?;
        } else {
            tell(format!("this to pass: {}", error.message()));
            pauses.wait().await;
        }
    }
}

impl<T: Transport> Node<T> {
    /// Reconnects, as often as it takes, and retakes the lease. Returns whether the node has rebooted since
    /// [`Node::booted`]; ends only with success or an error that does not pass.
    async fn reconnect(&self) -> Result<bool> {
        let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(8));
        loop {
            match self.try_reconnect().await {
                Err(error) if error.is_passing() => {}
                result => return result,
            }
            pauses.wait().await;
        }
    }

    async fn try_reconnect(&self) -> Result<bool> {
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

    /// Records the node's boot id, so that a reboot is recognised.
    pub fn booted(&self, boot_id: &str) {
        *self.boot.lock().unwrap_or_else(PoisonError::into_inner) = Some(boot_id.to_owned());
    }

    /// Waits until every command that outlived its connection has ended on the node.
    ///
    /// # Errors
    /// `Timeout` after `limit`, and what still works.
    pub async fn wait_for_units(&self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let mut pauses = Pauses::new(Duration::from_millis(200), Duration::from_secs(2));
        loop {
            let seen = self.look(&[Probe::running()]).await?;
            let units = seen.first().map(crate::command::Output::text).unwrap_or_default();
            let Some(unit) = units.lines().next() else { return Ok(()) };
            if began.elapsed() > limit {
                let unit = crate::diagnostic::printable(unit);
                let message =
                    format!("{unit}, started by an earlier run, still runs on {}", self.name);
                return Err(Error::new(Kind::Timeout, message)
                    .hint("its output is in /run/slipway on the node; `systemctl stop` ends it"));
            }
            pauses.wait().await;
        }
    }
}
