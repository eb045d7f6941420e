//! What this machine must have for a lab, checked before anything is changed.

use std::fs;
use std::path::Path;

use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

use super::{files, store};

/// Programs that the lab runs, and the Debian package of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("chronyd", "chrony"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("losetup", "mount"),
    ("mke2fs", "e2fsprogs"),
];

/// A file that comes with a package.
const KEYRING: &str = super::image::KEYRING;

/// Checks everything and reports all that is missing at once.
///
/// # Errors
/// [`Kind::Machine`] with one note for each lack.
pub(super) async fn check() -> Result<()> {
    let mut lacks = Vec::new();
    if !rustix::process::geteuid().is_root() {
        lacks.push("the permissions of root".to_owned());
    }
    let packages = missing_packages();
    if !packages.is_empty() {
        lacks.push(format!("packages: {}", packages.join(" ")));
    }
    if lacks.is_empty() {
        lacks.extend(missing_features().await?);
    }
    if lacks.is_empty() {
        return Ok(());
    }
    let error = Error::new(Kind::Machine, "this machine cannot run a lab yet");
    let error = lacks.iter().fold(error, |error, lack| error.note(format!("missing: {lack}")));
    Err(if packages.is_empty() {
        error
    } else {
        error.hint(format!("apt-get install --no-install-recommends {}", packages.join(" ")))
    })
}

fn missing_packages() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where a user's PATH lacks the administrator's directories, it is root that is missing.
    let dirs = || std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = |program: &str| dirs().any(|dir| dir.join(program).exists());
    let programs = PROGRAMS.iter().filter(|(program, _)| !found(program)).map(|of| of.1);
    let keyring = (!Path::new(KEYRING).exists()).then_some("debian-archive-keyring");
    let mut packages: Vec<&str> = programs.chain(keyring).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Tries, in a network namespace that is gone afterwards, what the nodes' network is made of.
async fn missing_features() -> Result<Vec<String>> {
    // Where these are modules, nodes cannot load them; where they are built in, this fails.
    let modules =
        ["overlay", "bridge", "veth", "br_netfilter", "nf_conntrack", "nft_masq", "vxlan"];
    for module in modules {
        let _ = Process::new("modprobe").args(["-q", module]).output().await;
    }
    let mut lacks = Vec::new();
    let overlay = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !overlay.lines().any(|line| line.trim_end().ends_with("\toverlay")) {
        lacks.push("the overlay file system in this kernel".to_owned());
    }
    let probes = [
        ("bridges", "ip link add name slw-probe type bridge"),
        ("virtual cables (veth)", "ip link add name slw-probe type veth peer name slw-peer"),
        (
            "NAT in nftables",
            "nft 'table ip p { chain c { type nat hook postrouting priority 100; masquerade; }; }'",
        ),
    ];
    for (what, probe) in probes {
        let args = ["--net", "--mount", "sh", "-c", probe];
        if Process::new("unshare").args(args).output().await?.code != 0 {
            lacks.push(format!("{what} in this kernel"));
        }
    }
    if !super::cgroup::usable() {
        lacks.push("mounted and writable control groups (/sys/fs/cgroup)".to_owned());
    }
    files::make_dir(Path::new(store::ROOT))?;
    // From linux/magic.h. An overlay's upper directory cannot lie on an overlay.
    const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
    let kind = rustix::fs::statfs(store::ROOT).map(|found| found.f_type.cast_unsigned());
    if kind == Ok(OVERLAYFS_SUPER_MAGIC) {
        lacks.push(format!("a plain file system below {} (it is an overlay)", store::ROOT));
    }
    Ok(lacks)
}
