//! One node's life: its supervisor, its start, and its two ways to end.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::container::{group, init, runner, running, supervisor};
use super::run::{detached, enter, own_program};
use super::spec::{Lab, Node};
use super::wait::until;
use super::{disk, fault, files, network, store};
use crate::diagnostic::{Error, Kind, Result};

/// How long a node may take to answer: a boot takes seconds, but five may share two processors.
const BOOT: Duration = Duration::from_secs(120);

/// systemd-nspawn's exit code when the container asked for a restart.
const RESTART: i32 = 133;

/// What a node may do besides what systemd-nspawn lets every container do: kubelet does not start
/// unless it may read the kernel's log. The clock and the kernel's modules belong to the machine
/// below: no node may set or load them.
const CAPABILITIES: &str = "CAP_SYSLOG";

/// System calls besides those that systemd-nspawn lets every container make: runc gives a container
/// a keyring of its own, and decides by BPF which devices it sees where control groups are of the
/// second version.
const SYSTEM_CALLS: &str = "@keyring bpf";

/// Switches a node on unless it is; does not wait for it.
///
/// # Errors
/// [`Kind::Machine`] when its image is gone, or it cannot be started.
pub(super) async fn start(lab: &Lab, node: &Node) -> Result<()> {
    if running(lab, node) {
        return Ok(());
    }
    if !node.image.is_dir() {
        let gone = format!("the image of `{}` is gone: {}", node.name, node.image.display());
        let hint = format!("`slipway lab down --name {}`, then up", lab.name);
        return Err(Error::new(Kind::Machine, gone).hint(hint));
    }
    // A container whose supervisor died would hold the disk and the cable.
    group(lab, node).kill().await?;
    let slipway = [&own_program()?, "lab", "run-node", "--name", &lab.name, &node.name];
    let log = store::node_dir(lab, node).join("supervisor.log");
    detached(&supervisor(lab, node), slipway.map(str::to_owned), &log).map(drop)
}

/// Runs a node until it is switched off: the supervisor's whole life.
///
/// # Errors
/// [`Kind::Machine`] or [`Kind::Command`] when the container cannot be started.
pub async fn supervise(lab: &str, node: &str) -> Result<()> {
    let lab = store::require(lab)?;
    let node = lab.node(node)?;
    let Some(_lock) = store::lock_node(&lab, node)? else { return Ok(()) };
    let log = store::node_dir(&lab, node).join("console.log");
    let machine = |e: std::io::Error| Error::new(Kind::Machine, format!("{}: {e}", log.display()));
    loop {
        fault::end(&lab, node).await?;
        network::remove_link(&lab.cable(node)).await?;
        disk::released(&lab, node).await?;
        // Groups left by dead containers would make kubelet wait for a minute.
        let group = group(&lab, node);
        until("the old groups are gone", Duration::from_secs(20), async || group.remove()).await?;
        let console = File::options().create(true).append(true).open(&log).map_err(machine)?;
        let mut child = enter(&group, container(&lab, node))?
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "yes")
            .into_inner()
            .stdout(console.try_clone().map_err(machine)?)
            .stderr(console)
            .stdin(Stdio::null())
            .spawn()
            .map_err(machine)?;
        let status = child.wait().await.map_err(machine)?;
        if status.code() != Some(RESTART) {
            return Ok(());
        }
    }
}

/// The container's command line. Its disk is mounted in a mount namespace of its own, so that the
/// mounts end with the container, however it ends.
fn container(lab: &Lab, node: &Node) -> Vec<String> {
    let mut command: Vec<String> =
        ["unshare", "--mount", "sh", "-c", disk::MOUNT, "sh"].map(str::to_owned).into();
    command.extend(disk::mounts(lab, node));
    command.extend([
        "systemd-nspawn".to_owned(),
        "--quiet".to_owned(),
        "--settings=no".to_owned(),
        "--keep-unit".to_owned(),
        "--register=no".to_owned(),
        "--link-journal=no".to_owned(),
        "--resolv-conf=off".to_owned(),
        // Else the machine's own zone is mounted there, and tzdata cannot be configured.
        "--timezone=off".to_owned(),
        "--console=pipe".to_owned(),
        "--boot".to_owned(),
        format!("--capability={CAPABILITIES}"),
        format!("--directory={}", disk::root(lab, node).display()),
        format!("--machine={}", lab.machine(node)),
        format!("--hostname={}", node.name),
        format!("--network-bridge={}", lab.bridge()),
        format!("--system-call-filter={SYSTEM_CALLS}"),
        "--bind=/dev/kmsg".to_owned(),
    ]);
    let data = disk::data(lab, node);
    let bind = |name: &str| format!("--bind={}:/var/lib/{name}", data.join(name).display());
    command.extend(disk::PLAIN.map(bind));
    command
}

/// Waits until a node's SSH server speaks.
///
/// # Errors
/// [`Kind::Timeout`] with the last of its console.
pub(super) async fn answers(lab: &Lab, node: &Node) -> Result<()> {
    let what = format!("`{}` answers by SSH", node.name);
    let ready = async || speaks(node).await || !running(lab, node);
    let outcome = until(&what, BOOT, ready).await;
    if outcome.is_ok() && running(lab, node) {
        return Ok(());
    }
    let error = outcome.err().unwrap_or_else(|| {
        Error::new(Kind::Machine, format!("`{}` went off while starting", node.name))
    });
    let dir = store::node_dir(lab, node);
    let mut error = error;
    for log in ["supervisor.log", "console.log"] {
        let text = files::read(&dir.join(log)).ok().flatten().unwrap_or_default();
        error = error.note(crate::diagnostic::last_lines(&text, 8));
    }
    Err(error)
}

/// Whether an SSH server greets at the node's address.
pub(super) async fn speaks(node: &Node) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect((node.address, 22)).await.ok()?;
        let mut text = [0; 4];
        stream.read_exact(&mut text).await.ok()?;
        (&text == b"SSH-").then_some(())
    };
    matches!(tokio::time::timeout(Duration::from_secs(2), greeting).await, Ok(Some(())))
}

/// Cuts a node's power. Its disk stays.
///
/// # Errors
/// [`Kind::Timeout`] when something of it does not die.
pub(super) async fn kill(lab: &Lab, node: &Node) -> Result<()> {
    supervisor(lab, node).kill().await?;
    group(lab, node).kill().await?;
    disk::released(lab, node).await
}

/// Asks a node to shut down in an orderly way, if it is on; does not wait for it.
///
/// # Errors
/// [`Kind::Machine`] when systemd-nspawn is not found.
pub(super) fn power_off(lab: &Lab, node: &Node) -> Result<()> {
    if let Some(init) = group(lab, node).init() {
        // systemd-nspawn hands it on.
        let _ = kill_process(runner(node, init)?, Signal::TERM);
    }
    Ok(())
}

/// Waits until a node that was asked to shut down is off.
///
/// # Errors
/// [`Kind::Timeout`] when it stays on.
pub(super) async fn is_off(lab: &Lab, node: &Node) -> Result<()> {
    let off = async || !running(lab, node) && !group(lab, node).alive();
    until(&format!("`{}` has shut down", node.name), BOOT, off).await?;
    disk::released(lab, node).await
}

/// Removes what systemd-nspawn leaves where `/run` is not a tmpfs: an empty directory.
pub(super) fn tidy(lab: &Lab, node: &Node) {
    let left = format!("/run/systemd/nspawn/propagate/{}", lab.machine(node));
    let _ = std::fs::remove_dir(left);
}

/// Restarts a node in an orderly way, and waits until it answers.
///
/// # Errors
/// [`Kind::Usage`] when it is off; [`Kind::Timeout`] when it does not come back.
pub(super) async fn reboot(lab: &Lab, node: &Node) -> Result<()> {
    let group = group(lab, node);
    let before = init(lab, node)?;
    // What Ctrl-Alt-Del sends to a machine's first process.
    let _ = kill_process(before, Signal::INT);
    let gone = async || group.init() != Some(before);
    until(&format!("`{}` has gone down", node.name), BOOT, gone).await?;
    answers(lab, node).await
}
