//! A node's own disk: what is written over the image before the node first starts.
//!
//! Usually it is directories of this machine. With a size, it is a file system in a sparse file,
//! mounted for the node alone, and those directories lie in there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::quantity::Size;
use super::spec::{Lab, Node};
use super::wait::until;
use super::{files, store};
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// Directories that must not be on an overlay: containerd and etcd put their own file systems or
/// locks there. They lie beside the overlay, in plain directories.
pub(super) const PLAIN: [&str; 3] = ["containerd", "kubelet", "etcd"];

/// Mounts what the node's root is made of, in a mount namespace of its own, and becomes the rest of
/// the words after those of [`mounts`].
pub(super) const MOUNT: &str = include_str!("disk/mount.sh");

/// What we write over the image: the overlay's writable layer, or a lower one where the node has a
/// disk of its own.
fn written(lab: &Lab, node: &Node) -> PathBuf {
    store::node_dir(lab, node).join("upper")
}

/// Where the overlay's directories and the plain ones are.
pub(super) fn data(lab: &Lab, node: &Node) -> PathBuf {
    let dir = store::node_dir(lab, node);
    if node.disk.is_some() { dir.join("disk") } else { dir }
}

/// The file that fills the disk of a node that has its own, where the node cannot see it.
pub(super) fn filler(lab: &Lab, node: &Node) -> PathBuf {
    data(lab, node).join("filler")
}

/// Where the overlay is mounted, for the node alone.
pub(super) fn root(lab: &Lab, node: &Node) -> PathBuf {
    store::node_dir(lab, node).join("root")
}

/// The sparse file, for a node that has a disk of its own.
fn file(lab: &Lab, node: &Node) -> Option<PathBuf> {
    node.disk.map(|_| store::node_dir(lab, node).join("disk.img"))
}

/// The words for [`MOUNT`].
pub(super) fn mounts(lab: &Lab, node: &Node) -> [String; 5] {
    let data = data(lab, node);
    let [upper, work] = ["upper", "work"].map(|name| data.join(name).display().to_string());
    let image = node.image.display();
    let lower = match node.disk {
        Some(_) => format!("{}:{image}", written(lab, node).display()),
        None => image.to_string(),
    };
    let file = file(lab, node).unwrap_or_default();
    [
        file.display().to_string(),
        data.display().to_string(),
        filler(lab, node).display().to_string(),
        format!("lowerdir={lower},upperdir={upper},workdir={work}"),
        root(lab, node).display().to_string(),
    ]
}

/// Waits until the kernel has let go of a dead node's disk.
///
/// # Errors
/// [`Kind::Timeout`] when something still has it.
pub(super) async fn released(lab: &Lab, node: &Node) -> Result<()> {
    let Some(file) = file(lab, node) else { return Ok(()) };
    let free = async || {
        let used = Process::new("losetup").arg("--associated").arg(&file).output().await;
        used.is_ok_and(|used| used.text().is_empty())
    };
    let what = format!("the disk of `{}` is let go of", node.name);
    until(&what, Duration::from_secs(20), free).await
}

/// The public half of a node's host key.
pub(super) fn host_key(lab: &Lab, node: &Node) -> Result<String> {
    let path = written(lab, node).join("etc/ssh/ssh_host_ed25519_key.pub");
    files::read(&path)?.ok_or_else(|| {
        Error::new(Kind::Machine, format!("{} is missing", path.display()))
            .hint(format!("`slipway lab down --name {}`, then up", lab.name))
    })
}

/// Makes the disk, as far as it is not made: its identity stays the same for its whole life.
///
/// # Errors
/// [`Kind::Machine`] or [`Kind::Command`] when it cannot be written.
pub(super) async fn make(lab: &Lab, node: &Node, public_key: &str) -> Result<()> {
    let upper = written(lab, node);
    files::make_dir(&root(lab, node))?;
    for name in ["upper", "work"].into_iter().chain(PLAIN) {
        files::make_dir(&data(lab, node).join(name))?;
    }
    let etc = upper.join("etc");
    files::write(&etc.join("hostname"), format!("{}\n", node.name), 0o644)?;
    files::write(&etc.join("systemd/network/10-host0.network"), link(lab, node), 0o644)?;
    files::write(&etc.join("resolv.conf"), name_servers()?, 0o644)?;
    once(&etc.join("hosts"), || Ok(hosts(node)))?;
    once(&etc.join("machine-id"), machine_id)?;
    for home in ["root", "home/admin"] {
        authorize(&upper, home, public_key).await?;
    }
    host_keys(&upper).await?;
    make_file(lab, node).await
}

/// Makes the file system of a node that has a disk of its own, with the directories that are made
/// already.
async fn make_file(lab: &Lab, node: &Node) -> Result<()> {
    let (Some(Size(bytes)), Some(file)) = (node.disk, file(lab, node)) else { return Ok(()) };
    if file.exists() {
        return Ok(());
    }
    let unfinished = file.with_extension("unfinished");
    files::remove(&unfinished)?;
    // Nothing is kept back for root, which everyone is here.
    Process::new("mke2fs")
        .args(["-q", "-t", "ext4", "-m", "0", "-d"])
        .arg(data(lab, node))
        .arg(&unfinished)
        .arg(format!("{}k", bytes / 1024))
        .run()
        .await?;
    files::rename(&unfinished, &file)
}

/// Writes a file that the node may change later, unless it is there.
fn once(path: &Path, text: impl FnOnce() -> Result<String>) -> Result<()> {
    if files::read(path)?.is_none() {
        files::write(path, text()?, 0o644)?;
    }
    Ok(())
}

fn hosts(node: &Node) -> String {
    format!("127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost\n", node.name)
}

fn link(lab: &Lab, node: &Node) -> String {
    let (address, gateway) = (node.address, lab.gateway());
    format!(
        "[Match]\nName=host0\n\n[Network]\nAddress={address}/24\nGateway={gateway}\n\
         IPv6AcceptRA=no\n"
    )
}

fn machine_id() -> Result<String> {
    let uuid = files::read(Path::new("/proc/sys/kernel/random/uuid"))?.unwrap_or_default();
    Ok(uuid.replace('-', ""))
}

/// This machine's name servers; those behind a local stub, which nodes cannot reach, by their own
/// addresses.
fn name_servers() -> Result<String> {
    let own = files::read(Path::new("/etc/resolv.conf"))?.unwrap_or_default();
    let stub = own.lines().any(|line| line.starts_with("nameserver 127."));
    let uplink = files::read(Path::new("/run/systemd/resolve/resolv.conf"))?;
    Ok(uplink.filter(|_| stub).unwrap_or(own))
}

/// Lets the lab's key into an account. The directories' owners are those of the image.
async fn authorize(upper: &Path, home: &str, public_key: &str) -> Result<()> {
    let home = upper.join(home);
    let ssh = home.join(".ssh");
    let keys = ssh.join("authorized_keys");
    files::write(&keys, public_key, 0o600)?;
    // root, or the first account made in the image.
    let owner = if home.ends_with("admin") { "1000:1000" } else { "0:0" };
    Process::new("chown").arg(owner).args([&home, &ssh, &keys]).run().await?;
    Process::new("chmod").arg("0700").args([&home, &ssh]).run().await.map(drop)
}

/// Makes the host keys before the first start, so that nobody ever has to trust a scan.
async fn host_keys(upper: &Path) -> Result<()> {
    let key = upper.join("etc/ssh/ssh_host_ed25519_key");
    if files::read(&key.with_extension("pub"))?.is_some() {
        return Ok(());
    }
    files::make_dir(&upper.join("etc/ssh"))?;
    files::remove(&key)?;
    ssh_keygen(&key, "").await
}

/// Makes an ed25519 key pair.
///
/// # Errors
/// [`Kind::Command`] when it cannot be written.
pub(super) async fn ssh_keygen(path: &Path, comment: &str) -> Result<()> {
    let args = ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"];
    Process::new("ssh-keygen").args(args).arg(path).run().await.map(drop)
}
