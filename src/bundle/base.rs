//! The base layer of the images that need more than one static program: firewall tools, a shell,
//! runit, and exactly the libraries that these load. A few megabytes instead of a distribution.

use std::io::Read;
use std::path::Path;

use super::debian::Apt;
use super::layer::{Layer, Node};
use super::{BasePackage, sha256_file};
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// The Debian release that the files come from.
const CODENAME: &str = "bookworm";

const PACKAGES: &[&str] = &[
    "conntrack",
    "coreutils",
    "dash",
    "debianutils",
    "iproute2",
    "ipset",
    "iptables",
    "netbase",
    "nftables",
    "runit",
];

/// What is kept of the packages; `*` stands for anything but a slash, such as the name of the
/// architecture. Libraries are those that the programs name in their dynamic sections.
const FILES: &[&str] = &[
    "etc/protocols",
    "usr/bin/cat",
    "usr/bin/cp",
    "usr/bin/dash",
    "usr/bin/env",
    "usr/bin/ip",
    "usr/bin/mkdir",
    "usr/bin/rm",
    "usr/bin/runsv",
    "usr/bin/runsvdir",
    "usr/bin/sv",
    "usr/bin/svlogd",
    "usr/bin/which.debianutils",
    "usr/lib*/ld-linux-*",
    "usr/lib/*/ld-linux-*",
    "usr/lib/*/libacl.so.1*",
    "usr/lib/*/libattr.so.1*",
    "usr/lib/*/libbpf.so.1*",
    "usr/lib/*/libbsd.so.0*",
    "usr/lib/*/libc.so.6",
    "usr/lib/*/libcap.so.2*",
    "usr/lib/*/libedit.so.2*",
    "usr/lib/*/libelf*.so*",
    "usr/lib/*/libgmp.so.10*",
    "usr/lib/*/libipset.so.13*",
    "usr/lib/*/libjansson.so.4*",
    "usr/lib/*/libmd.so.0*",
    "usr/lib/*/libmnl.so.0*",
    "usr/lib/*/libnetfilter_conntrack.so.3*",
    "usr/lib/*/libnfnetlink.so.0*",
    "usr/lib/*/libnftables.so.1*",
    "usr/lib/*/libnftnl.so.11*",
    "usr/lib/*/libpcre2-8.so.0*",
    "usr/lib/*/libselinux.so.1*",
    "usr/lib/*/libtinfo.so.6*",
    "usr/lib/*/libxtables.so.12*",
    "usr/lib/*/libz.so.1*",
    "usr/lib/*/xtables/*.so",
    "usr/sbin/conntrack",
    "usr/sbin/ip6tables-nft*",
    "usr/sbin/ipset",
    "usr/sbin/iptables-nft*",
    "usr/sbin/nft",
    "usr/sbin/xtables-nft-multi",
];

/// What maintainer scripts would have made, and the merged `/usr`.
const LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("usr/bin/sh", "dash"),
    ("usr/bin/which", "which.debianutils"),
    ("usr/sbin/ip6tables", "xtables-nft-multi"),
    ("usr/sbin/ip6tables-restore", "xtables-nft-multi"),
    ("usr/sbin/ip6tables-save", "xtables-nft-multi"),
    ("usr/sbin/iptables", "xtables-nft-multi"),
    ("usr/sbin/iptables-restore", "xtables-nft-multi"),
    ("usr/sbin/iptables-save", "xtables-nft-multi"),
];

/// What the layer is made from, for recipes.
pub(super) fn recipe() -> String {
    format!("{CODENAME} {PACKAGES:?} {FILES:?} {LINKS:?}")
}

/// Makes the layer, and lists the packages that gave something to it.
pub(super) async fn layer(arch: &str) -> Result<(Layer, Vec<BasePackage>)> {
    let apt = Apt::new(CODENAME, arch).await?;
    let dir = tempfile::tempdir().map_err(|e| Error::new(Kind::Machine, e.to_string()))?;
    let mut layer = Layer::default();
    for dir in ["tmp", "run", "proc", "sys", "dev", "usr/lib64"] {
        layer = layer.put(dir, Node::Dir(if dir == "tmp" { 0o1777 } else { 0o755 }));
    }
    for (path, target) in LINKS {
        layer = layer.put(*path, Node::Symlink((*target).to_owned()));
    }
    let mut packages = Vec::new();
    for deb in apt.closure_of(PACKAGES, dir.path()).await? {
        let nodes = unpack(&deb.path).await?;
        if nodes.is_empty() {
            continue;
        }
        layer = nodes.into_iter().fold(layer, |layer, (path, node)| layer.put(path, node));
        let (sha256, _) = sha256_file(&deb.path)?;
        packages.push(BasePackage { name: deb.name, version: deb.version, sha256 });
    }
    Ok((layer, packages))
}

/// The wanted files of a package.
async fn unpack(deb: &Path) -> Result<Vec<(String, Node)>> {
    let tar = Process::new("dpkg-deb").arg("--fsys-tarfile").arg(deb).run().await?.stdout;
    let bad = |e: std::io::Error| {
        Error::new(Kind::Command, format!("cannot unpack `{}`: {e}", deb.display()))
    };
    let mut nodes = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        let path = merged(&entry.path().map_err(bad)?.to_string_lossy());
        if !FILES.iter().any(|pattern| matches(pattern, &path)) {
            continue;
        }
        let header = entry.header().clone();
        if header.entry_type().is_symlink() {
            let to = entry.link_name().map_err(bad)?.unwrap_or_default();
            nodes.push((path, Node::Symlink(to.to_string_lossy().into_owned())));
        } else if header.entry_type().is_file() {
            let mut data = Vec::new();
            entry.read_to_end(&mut data).map_err(bad)?;
            nodes.push((path, Node::Data(data, header.mode().map_err(bad)? & 0o755)));
        }
    }
    Ok(nodes)
}

/// `./bin/ip` as `usr/bin/ip`: the place of a file where `/usr` is merged.
fn merged(path: &str) -> String {
    let path = path.trim_start_matches("./");
    let first = path.split('/').next().unwrap_or_default();
    if matches!(first, "bin" | "sbin" | "lib" | "lib64") {
        return format!("usr/{path}");
    }
    path.to_owned()
}

/// Whether `path` is what `pattern` describes; `*` stands for any run of characters but slashes.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, rest)) => path.strip_prefix(head).is_some_and(|tail| {
            let end = tail.find('/').unwrap_or(tail.len());
            (0..=end).any(|at| tail.get(at..).is_some_and(|left| matches(rest, left)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_do_not_cross_directories() {
        assert!(matches("usr/lib/*/libz.so.1*", "usr/lib/x86_64-linux-gnu/libz.so.1.2.13"));
        assert!(matches("usr/lib/*/libz.so.1*", "usr/lib/aarch64-linux-gnu/libz.so.1"));
        assert!(!matches("usr/lib/*/libz.so.1*", "usr/lib/x86_64-linux-gnu/xtables/libz.so.1"));
        assert!(!matches("usr/bin/ip", "usr/bin/ipset"));
    }

    #[test]
    fn everything_lives_under_usr() {
        assert_eq!(merged("./bin/ip"), "usr/bin/ip");
        assert_eq!(merged("./lib64/ld-linux-x86-64.so.2"), "usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(merged("./etc/protocols"), "etc/protocols");
    }
}
