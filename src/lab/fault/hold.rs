//! A held lock: a process on the node has what apt-get and dpkg wait for.

use std::time::Duration;

use rustix::process::Pid;

use crate::diagnostic::Result;
use crate::lab::spec::{Lab, Node};
use crate::lab::store;

/// Perl is on every Debian, and takes the lock as apt-get does; flock(1) takes another kind.
const HOLD: &str = include_str!("hold.pl");

/// What it says once it has the lock.
const HELD: &str = "the lock is held";

/// Takes the lock, as soon as nobody else has it.
pub(super) async fn make(lab: &Lab, node: &Node, init: Pid, lasts: Option<Duration>) -> Result<()> {
    end(lab, node).await?;
    let mut command =
        vec!["nsenter".to_owned(), "--target".to_owned(), init.as_raw_nonzero().to_string()];
    let inside = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"];
    command.extend(inside.into_iter().chain(["perl", "-e", HOLD, HELD]).map(str::to_owned));
    command.extend(lasts.map(|time| time.as_secs_f64().to_string()));
    let log = store::node_dir(lab, node).join("hold.log");
    super::begin(&super::group(lab, node, "hold"), command, &log, HELD).await
}

/// Gives the lock up.
pub(super) async fn end(lab: &Lab, node: &Node) -> Result<()> {
    super::group(lab, node, "hold").kill().await
}

/// Whether the lock is held.
pub(super) fn found(lab: &Lab, node: &Node) -> bool {
    super::group(lab, node, "hold").alive()
}
