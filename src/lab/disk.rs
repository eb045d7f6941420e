//! A node's own disk: what is written over the image before the node first starts.

use std::path::{Path, PathBuf};

use super::spec::{Lab, Node};
use super::{files, store};
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// Directories that must not be on an overlay: containerd and etcd put their own file systems or
/// locks there. They lie beside the overlay, in plain directories.
pub(super) const PLAIN: [&str; 3] = ["containerd", "kubelet", "etcd"];

/// The overlay's writable layer.
pub(super) fn upper(lab: &Lab, node: &Node) -> PathBuf {
    store::node_dir(lab, node).join("upper")
}

/// The public half of a node's host key.
pub(super) fn host_key(lab: &Lab, node: &Node) -> Result<String> {
    let path = upper(lab, node).join("etc/ssh/ssh_host_ed25519_key.pub");
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
    let dir = store::node_dir(lab, node);
    let upper = upper(lab, node);
    // Overlay's work directory and the mount point; then what is bound over the root.
    for name in ["work", "root"].into_iter().chain(PLAIN) {
        files::make_dir(&dir.join(name))?;
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
    host_keys(&upper).await
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
