//! What the lab's user gets: an inventory, a key, and the nodes' host keys.

use std::path::PathBuf;

use super::spec::{Lab, Role};
use super::{disk, files, store};
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// The key's file.
pub(super) const KEY: &str = "id_ed25519";
/// The host keys' file.
pub(super) const KNOWN_HOSTS: &str = "known_hosts";
/// The inventory's file.
pub(super) const INVENTORY: &str = "slipway.yaml";

/// Makes the key unless it is there; gives its public half.
///
/// # Errors
/// [`Kind::Command`] or [`Kind::Machine`] when it cannot be written.
pub(super) async fn key(lab: &Lab) -> Result<String> {
    files::make_dir(&lab.dir)?;
    let key = lab.dir.join(KEY);
    let public = lab.dir.join(format!("{KEY}.pub"));
    if files::read(&key)?.is_none() || files::read(&public)?.is_none() {
        // ssh-keygen asks before it writes over a file.
        files::remove(&key)?;
        disk::ssh_keygen(&key, &format!("slipway lab {}", lab.name)).await?;
    }
    files::read(&public)?.ok_or_else(|| Error::new(Kind::Bug, "ssh-keygen wrote no public key"))
}

/// Writes the inventory and the host keys. Says whether the inventory is ours: one that the user
/// changed stays.
///
/// # Errors
/// [`Kind::Machine`] when a file cannot be written.
pub(super) fn write(lab: &mut Lab) -> Result<bool> {
    let hosts = lab.nodes.iter().map(|node| {
        let key = disk::host_key(lab, node)?;
        let words: Vec<&str> = key.split_whitespace().take(2).collect();
        Ok(format!("{} {}\n", node.address, words.join(" ")))
    });
    files::write(&lab.dir.join(KNOWN_HOSTS), hosts.collect::<Result<String>>()?, 0o644)?;
    files::write(&lab.dir.join(".gitignore"), "*\n", 0o644)?;
    let path = lab.dir.join(INVENTORY);
    let text = inventory(lab);
    let found = files::read(&path)?;
    let ours = found.is_none_or(|found| found == lab.inventory || found == text);
    if ours {
        // Recorded after: when cut short in between, the next run finds the text it would write.
        files::write(&path, &text, 0o644)?;
        lab.inventory = text;
        store::save(lab)?;
    }
    Ok(ours)
}

/// Removes what [`write()`] and [`key`] made; the user's own files stay.
///
/// # Errors
/// [`Kind::Machine`] when a file cannot be removed.
pub(super) fn remove(lab: &Lab) -> Result<()> {
    let inventory = lab.dir.join(INVENTORY);
    if files::read(&inventory)?.is_some_and(|found| found == lab.inventory) {
        files::remove(&inventory)?;
    }
    for name in [KEY, "id_ed25519.pub", KNOWN_HOSTS, ".gitignore"] {
        files::remove(&lab.dir.join(name))?;
    }
    // Only when nothing else is in it.
    let _ = std::fs::remove_dir(&lab.dir);
    Ok(())
}

/// The command that logs in to an address, trusting the lab's files and nothing else.
pub(super) fn ssh(lab: &Lab) -> Process {
    let option = |name: &str, path: PathBuf| format!("{name}={}", path.display());
    Process::new("ssh")
        .args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"])
        .args(["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none"])
        .args(["-o", &option("UserKnownHostsFile", lab.dir.join(KNOWN_HOSTS)), "-i"])
        .arg(lab.dir.join(KEY))
}

/// The inventory's text.
fn inventory(lab: &Lab) -> String {
    let mut text = format!(
        "# Written by `slipway lab up`. Once you change it, it is yours: it is not written again.
apiVersion: slipway.dev/v1
kind: Cluster
metadata: {{name: {name}}}
spec:
  kubernetes: {{version: {version}}}
",
        name = lab.name,
        version = lab.kubernetes,
    );
    if lab.count(Role::ControlPlane) > 1 {
        text += &format!("  endpoint: {{vip: {}}}\n", lab.endpoint());
    }
    text += &format!(
        "  ssh: {{user: root, identityFile: {KEY}, knownHosts: {KNOWN_HOSTS}}}
  time: {{servers: [{gateway}]}}
  # Nodes share this machine's disk, of which the default limits, in percent, would ask too much.
  kubelet:
    evictionHard: {{memory.available: 100Mi, nodefs.available: 2Gi, imagefs.available: 2Gi, \
         nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}}
    imageGCHighThresholdPercent: 100
    imageGCLowThresholdPercent: 99
  nodes:
",
        gateway = lab.gateway(),
    );
    for node in &lab.nodes {
        let (name, role, address) = (&node.name, node.role.name(), node.address);
        text += &format!("    - {{name: {name}, role: {role}, address: {address}}}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn lab(control_planes: u8) -> Lab {
        let mut lab = Lab {
            name: "demo".into(),
            index: 0,
            dir: "/d".into(),
            kubernetes: "1.37.2".into(),
            inventory: String::new(),
            nodes: Vec::new(),
        };
        lab.grow(Role::ControlPlane, control_planes, Path::new("/i"), None).unwrap();
        lab.grow(Role::Worker, 1, Path::new("/i"), None).unwrap();
        lab
    }

    #[test]
    fn the_inventory_is_yaml_with_every_node() {
        let seen: serde_json::Value = serde_yaml::from_str(&inventory(&lab(3))).unwrap();
        assert_eq!(seen["spec"]["kubernetes"]["version"], "1.37.2");
        assert_eq!(seen["spec"]["endpoint"]["vip"], "10.77.0.100");
        assert_eq!(seen["spec"]["time"]["servers"][0], "10.77.0.1");
        assert_eq!(seen["spec"]["kubelet"]["evictionHard"]["nodefs.inodesFree"], "1%");
        let nodes = seen["spec"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 4);
        assert_eq!(nodes[3]["role"], "worker");
    }

    #[test]
    fn one_control_plane_has_no_virtual_address() {
        let seen: serde_json::Value = serde_yaml::from_str(&inventory(&lab(1))).unwrap();
        assert!(seen["spec"].get("endpoint").is_none());
    }
}
