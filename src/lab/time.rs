//! The lab's time server: chronyd on the bridge's address, which tells this machine's clock and
//! never sets it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::cgroup::Group;
use super::run::detached;
use super::spec::Lab;
use super::wait::until;
use super::{files, store};
use crate::diagnostic::Result;

fn group(lab: &Lab) -> Group {
    Group::of(&lab.name, "time")
}

/// The directory that chronyd's AppArmor profile allows. For the same reason the configuration
/// comes as arguments.
const RUN: &str = "/run/chrony";

fn pid_file(lab: &Lab) -> PathBuf {
    Path::new(RUN).join(format!("slipway-lab-{}.pid", lab.name))
}

/// Starts the server unless it runs, and waits until it tells the time.
///
/// # Errors
/// [`crate::diagnostic::Kind::Timeout`], with its log, when it cannot be started.
pub(super) async fn start(lab: &Lab) -> Result<()> {
    let log = store::lab_dir(&lab.name).join("time.log");
    if !group(lab).alive() {
        files::make_dir(Path::new(RUN))?;
        // A number left by a dead server may be another process's now: chronyd would not start.
        files::remove(&pid_file(lab))?;
        drop(detached(&group(lab), command(lab), &log)?);
    }
    let timeout = Duration::from_secs(20);
    until("the lab's time server answers", timeout, async || answers(lab).await.is_ok())
        .await
        .map_err(|error| error.note(files::read(&log).ok().flatten().unwrap_or_default()))
}

fn command(lab: &Lab) -> Vec<String> {
    let directives = [
        format!("bindaddress {}", lab.gateway()),
        format!("allow {}", lab.subnet()),
        "local stratum 8".to_owned(),
        "cmdport 0".to_owned(),
        "bindcmdaddress /".to_owned(),
        format!("pidfile {}", pid_file(lab).display()),
    ];
    // -x: never touch the clock. -d: stay in the foreground, log to standard error.
    let options = ["chronyd", "-x", "-d", "-u", "root"].map(str::to_owned);
    options.into_iter().chain(directives).collect()
}

/// Asks the server for the time once.
async fn answers(lab: &Lab) -> std::io::Result<()> {
    // 48 bytes, of which a client must fill only the first: version 4, mode 3.
    let mut packet = [0; 48];
    if let Some(first) = packet.first_mut() {
        *first = 0x23;
    }
    let socket = UdpSocket::bind((lab.gateway(), 0)).await?;
    socket.connect((lab.gateway(), 123)).await?;
    socket.send(&packet).await?;
    tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut packet)).await??;
    Ok(())
}

/// Ends the server.
///
/// # Errors
/// As [`Group::kill`].
pub(super) async fn stop(lab: &Lab) -> Result<()> {
    group(lab).kill().await?;
    files::remove(&pid_file(lab))?;
    // Only when no other chronyd uses it.
    let _ = std::fs::remove_dir(RUN);
    Ok(())
}
