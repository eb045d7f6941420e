//! The lab's time server: chronyd on the bridge's address, which tells this machine's clock and
//! never sets it.

use std::path::PathBuf;

use super::cgroup::Group;
use super::spec::Lab;
use super::{detached, files, store};
use crate::diagnostic::Result;

fn group(lab: &Lab) -> Group {
    Group::of(&lab.name, "time")
}

/// Where chronyd writes its process id. Its AppArmor profile allows this directory and no other,
/// and for the same reason the configuration comes as arguments.
fn pid_file(lab: &Lab) -> PathBuf {
    PathBuf::from(format!("/run/chrony/slipway-lab-{}.pid", lab.name))
}

/// Starts the server unless it runs.
///
/// # Errors
/// [`crate::diagnostic::Kind::Machine`] when it cannot be started.
pub(super) fn start(lab: &Lab) -> Result<()> {
    if group(lab).alive() {
        return Ok(());
    }
    // A number left by a dead server may be another process's now: chronyd would not start.
    files::remove(&pid_file(lab))?;
    let directives = [
        format!("bindaddress {}", lab.gateway()),
        format!("allow {}", lab.subnet()),
        "local stratum 8".to_owned(),
        "cmdport 0".to_owned(),
        "bindcmdaddress /".to_owned(),
        format!("pidfile {}", pid_file(lab).display()),
    ];
    // -x: never touch the clock. -d: stay in the foreground, log to standard error.
    let command = ["chronyd", "-x", "-d", "-u", "root"].into_iter().map(str::to_owned);
    let log = store::lab_dir(&lab.name).join("time.log");
    detached(&group(lab), command.chain(directives), &log)
}

/// Ends the server.
///
/// # Errors
/// As [`Group::kill`].
pub(super) async fn stop(lab: &Lab) -> Result<()> {
    group(lab).kill().await?;
    files::remove(&pid_file(lab))
}
