//! One run at a time: a lock on every node, which the node releases when the run's heartbeat stops.
//! Connection gone, lock gone: nothing to expire, no file to delete.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::Node;
use crate::command::Cmd;
use crate::diagnostic::{Error, Kind, Result, last_lines};
use crate::host::Transport;

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The exit code of [`HOLD`] when another has it (`EX_TEMPFAIL` of sysexits.h).
const TAKEN: i32 = 75;

/// `$1`: who holds it. `$2`: how many seconds to wait for a holder to leave. Exit code 75: taken,
/// and who has it. A node that hears nothing for 15 s gives the lock up, and its file; who got the
/// lock of a file that is gone tries again. It also ends the silent connection, and so what the run
/// was about to do by it: a half-sent image would keep containerd's lock on it. sshd itself would
/// wait for hours.
const HOLD: &str = r#"set -u; umask 077; f=/run/slipway/lease
while :; do
  mkdir -p /run/slipway; exec 9<>$f
  flock -w "$2" 9 || { head -c 400 $f; exit 75; }
  [ ! $f -ef /dev/fd/9 ] || break
done
printf '%s\n' "$1" >$f; echo held
while sign=$(timeout 15 head -c 1); code=$?; [ -n "$sign" ]; do :; done
p=$$
while [ $code = 124 ] && p=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$p/status"); do
  case $(cat "/proc/$p/comm") in sshd*) kill "$p"; break ;; *sh | sudo) ;; *) break ;; esac
done
rm -f $f; rmdir /run/slipway 2>/dev/null; :"#;

impl<T: Transport> Node<T> {
    /// Takes the lease of this node for `holder` (one line: who, where, since when), waiting up to
    /// `wait` for another to leave.
    ///
    /// # Errors
    /// `Preflight` when another run holds it; what it says of itself is in the error. `Command` when
    /// the node cannot give it.
    pub async fn take_lease(&self, holder: &str, wait: Duration) -> Result<()> {
        let cmd = Cmd::shell(HOLD).arg(holder).arg(wait.as_secs().to_string());
        let hold =
            self.transport.hold(&cmd.within(wait + Duration::from_secs(30)), HEARTBEAT).await?;
        let hold = hold.map_err(|output| match output.code {
            TAKEN => {
                let held = format!("another run holds {}; nothing was changed", self.name);
                Error::new(Kind::Preflight, held)
                    .note(output.text())
                    .hint("wait for its end; a run that died frees its nodes within 15 s")
            }
            code => {
                let message = format!("cannot take the lease of {}: exit code {code}", self.name);
                Error::new(Kind::Command, message)
                    .note(last_lines(&String::from_utf8_lossy(&output.stderr), 5))
            }
        })?;
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(hold);
        Ok(())
    }

    /// Whether this run had the lease and lost it.
    pub(super) fn lost_lease(&self) -> bool {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        lease.as_ref().is_some_and(crate::host::Hold::is_lost)
    }
}

/// Takes the leases of all nodes: the first one's first, so that of two runs that begin together one
/// goes on.
///
/// # Errors
/// As [`Node::take_lease`], for the first node that is taken.
pub async fn take_leases<T: Transport + 'static>(
    nodes: &BTreeMap<String, Node<T>>,
    holder: &str,
) -> Result<()> {
    let mut nodes = nodes.values();
    if let Some(first) = nodes.next() {
        first.take_lease(holder, Duration::ZERO).await?;
    }
    let mut taking = tokio::task::JoinSet::new();
    for node in nodes {
        let (node, holder) = (node.clone(), holder.to_owned());
        taking.spawn(async move { node.take_lease(&holder, Duration::ZERO).await });
    }
    while let Some(taken) = taking.join_next().await {
        taken.map_err(|e| Error::new(Kind::Bug, format!("a task ended early: {e}")))??;
    }
    Ok(())
}
