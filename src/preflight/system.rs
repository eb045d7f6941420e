//! A single machine: its operating system, its size, what else is installed.

use std::collections::BTreeMap;

use super::finding::{ALL, Check, Finding, JOINING, JOINING_CONTROL_PLANES, Severity};
use super::joining;
use crate::cluster::{Cluster, Endpoint, Role};
use crate::diagnostic::printable;
use crate::survey::Disk;
use crate::survey::Machine;
use crate::survey::Survey;

pub(super) const OPERATING_SYSTEM: Check = Check {
    name: "operating-system",
    severity: Severity::Error,
    of: ALL,
    about: "The bundle has no packages for this operating system.",
    todo: "install Debian 12 or 13",
};
pub(super) const ARCHITECTURE: Check = Check {
    name: "architecture",
    severity: Severity::Error,
    of: ALL,
    about: "The processor is not an amd64 one, for which the bundle's programs are built.",
    todo: "use another machine",
};
pub(super) const INIT: Check = Check {
    name: "init",
    severity: Severity::Error,
    of: ALL,
    about: "Process 1 is not systemd, which starts everything that slipway installs.",
    todo: "boot the machine with systemd",
};
pub(super) const C_LIBRARY: Check = Check {
    name: "c-library",
    severity: Severity::Error,
    of: ALL,
    about: "The C library is older than this slipway needs, which itself stays on control planes.",
    todo: "build slipway on the oldest system that it must run on",
};
pub(super) const INTERNAL_ADDRESS: Check = Check {
    name: "internal-address",
    severity: Severity::Error,
    of: ALL,
    about: "No interface has the address that the inventory gives the node inside the cluster.",
    todo: "correct `internalAddress` (or `address`) in the inventory, or the machine's network",
};
pub(super) const IPROUTE2: Check = Check {
    name: "iproute2",
    severity: Severity::Error,
    of: ALL,
    about: "`ip` is missing, by which slipway sees addresses, neighbours and who listens, before it installs anything.",
    todo: "run `apt-get install iproute2` there",
};
pub(super) const UNSEEN: Check = Check {
    name: "unseen",
    severity: Severity::Warning,
    of: JOINING,
    about: "A program is missing that slipway looks with, so something was not looked at: without \
            `ping`, whether the largest packets arrive (`path-mtu`); without `openssl`, whether an API \
            server answers at the external endpoint (`endpoint-taken`).",
    todo: "look at that yourself, or run `apt-get install iputils-ping openssl` there",
};
pub(super) const KERNEL: Check = Check {
    name: "kernel",
    severity: Severity::Error,
    of: JOINING,
    about: "The kernel is older than 5.13, and kube-proxy with nftables does not start on it \
            (`NFTablesKubeProxyKernelVersion` in Kubernetes' `pkg/util/kernel`).",
    todo: "boot a newer kernel",
};
pub(super) const CONTROL_GROUPS: Check = Check {
    name: "control-groups",
    severity: Severity::Warning,
    of: JOINING,
    about: "The control groups are of the first version, which Kubernetes has deprecated since \
            1.35 and will drop, in 1.38 at the earliest (KEP 5573). slipway lets kubelet run on it.",
    todo: "boot with `systemd.unified_cgroup_hierarchy=1` before you upgrade that far",
};
pub(super) const PROCESSORS: Check = Check {
    name: "processors",
    severity: Severity::Error,
    of: JOINING_CONTROL_PLANES,
    about: "There are fewer than 2 processors, and kubeadm refuses (`ControlPlaneNumCPU`).",
    todo: "give the machine more processors",
};
pub(super) const MEMORY: Check = Check {
    name: "memory",
    severity: Severity::Error,
    of: JOINING_CONTROL_PLANES,
    about: "There is less memory than 1700 MiB, and kubeadm refuses (`ControlPlaneMem`).",
    todo: "give the machine more memory",
};
pub(super) const DISK_SPACE: Check = Check {
    name: "disk-space",
    severity: Severity::Error,
    of: JOINING,
    about: "A file system has not the room for what slipway and Kubernetes put there at first: on \
            a control plane 1536 MiB in `/var/lib/containerd`, 512 in `/var/lib/etcd`, 512 in \
            `/usr/local/bin` and 64 in `/var/lib/kubelet`; on a worker 1024, 0, 384 and 64.",
    todo: "free room there, or mount a larger disk",
};
pub(super) const DISK_PRESSURE: Check = Check {
    name: "disk-pressure",
    severity: Severity::Warning,
    of: JOINING,
    about: "After that, less than 15 % of `/var/lib/containerd`'s file system or 10 % of \
            `/var/lib/kubelet`'s would be free: kubelet evicts pods then, by its own defaults. Not \
            looked at where `spec.kubelet.evictionHard` sets others.",
    todo: "free room there, or set `spec.kubelet.evictionHard`",
};
pub(super) const LOCALHOST: Check = Check {
    name: "localhost",
    severity: Severity::Warning,
    of: JOINING,
    about: "The name `localhost` is not 127.0.0.1, as many programs take for granted.",
    todo: "add the line `127.0.0.1 localhost` to /etc/hosts",
};
pub(super) const OTHER_KUBERNETES: Check = Check {
    name: "other-kubernetes",
    severity: Severity::Error,
    of: JOINING,
    about: "k3s, RKE2, k0s or MicroK8s runs there: its ports and networks would clash.",
    todo: "uninstall it, or take the node out of the inventory",
};
pub(super) const LEFTOVERS: Check = Check {
    name: "leftovers",
    severity: Severity::Warning,
    of: JOINING,
    about: "k3s, RKE2, k0s or MicroK8s is there, though it does not run.",
    todo: "uninstall it: started again, it would clash with this cluster",
};
pub(super) const DOCKER: Check = Check {
    name: "docker",
    severity: Severity::Warning,
    of: JOINING,
    about: "Docker runs there: it uses the containerd that slipway replaces.",
    todo: "expect Docker to be disturbed, or remove it",
};
pub(super) const PACKAGES: Check = Check {
    name: "packages",
    severity: Severity::Error,
    of: JOINING,
    about: "A package is installed that cannot stay: `containerd.io`, `moby-containerd` and \
            `moby-runc` conflict with Debian's `runc`; `kubelet` brings settings for a unit of the \
            same name, by which another kubelet would start.",
    todo: "remove it with `apt-get remove`",
};

pub(super) const DPKG: Check = Check {
    name: "dpkg",
    severity: Severity::Error,
    of: JOINING,
    about: "dpkg was interrupted, or has packages that it unpacked and could not configure: apt \
            installs nothing until that is mended.",
    todo: "run `dpkg --configure -a` and `apt-get --fix-broken install`",
};

/// Operating systems that the bundle has packages for.
const SYSTEMS: &[&str] = &["debian-12", "debian-13"];

/// What is needed of the disk, in MiB: the directory, on a control plane, on a worker. Images take
/// 130 MB compressed and 520 MB unpacked, programs 420 MB; etcd allocates its log in files of 64 MB
/// and keeps five. The rest is for pods' own layers, and to spare.
const ROOM: &[(&str, u64, u64)] = &[
    ("/var/lib/containerd", 1536, 1024),
    ("/var/lib/etcd", 512, 0),
    ("/var/lib/kubelet", 64, 64),
    ("/usr/local/bin", 512, 384),
];

/// Below how many percent of its file system kubelet evicts, by default: `imagefs.available` and
/// `nodefs.available`.
const EVICTION: &[(&str, u64)] = &[("/var/lib/containerd", 15), ("/var/lib/kubelet", 10)];

/// `glibc` is the oldest C library that slipway itself runs with.
pub(super) fn findings(cluster: &Cluster, survey: &Survey, glibc: (u32, u32)) -> Vec<Finding> {
    let mut all = Vec::new();
    for (name, surveyed) in &survey.nodes {
        let facts = &surveyed.facts;
        let mut found = |check: &Check, what: String| all.push(check.on(name, what));
        if !SYSTEMS.contains(&facts.os.as_str()) {
            let os = printable(&facts.os_name);
            found(&OPERATING_SYSTEM, format!("{os} is not supported"));
        }
        if facts.arch != "amd64" {
            let arch = printable(&facts.arch);
            found(&ARCHITECTURE, format!("architecture {arch} is not supported"));
        }
        if facts.init != "systemd" {
            found(&INIT, "its init is not systemd".to_owned());
        }
        if facts.glibc.is_none_or(|there| there < glibc) {
            let (major, minor) = glibc;
            let what = format!("its C library is older than {major}.{minor}, which slipway needs");
            found(&C_LIBRARY, what);
        }
        let Some(node) = cluster.node(name) else { continue };
        if facts.machine.lacks("ip") {
            found(&IPROUTE2, "`ip` is missing, so its addresses cannot be seen".to_owned());
        } else if super::carrier(survey, node).is_none() {
            let what = format!("none of its interfaces has its internal address {}", node.internal);
            found(&INTERNAL_ADDRESS, what);
        }
        if joining(surveyed) {
            if facts.cgroup_v1 {
                found(&CONTROL_GROUPS, "its control groups are of version 1".to_owned());
            }
            let defaults = !cluster.kubelet.contains_key("evictionHard");
            size(&facts.machine, node.role, defaults, &mut found);
            installed(&facts.machine, &mut found);
            let external = matches!(cluster.endpoint, Endpoint::External { .. });
            let unseen = [
                ("ping", cluster.nodes.len() > 1, "whether large packets reach other nodes"),
                ("openssl", external, "whether an API server is at the endpoint already"),
            ];
            for (program, used, what) in unseen {
                if used && facts.machine.lacks(program) {
                    found(&UNSEEN, format!("`{program}` is missing, so it was not seen {what}"));
                }
            }
        }
    }
    all
}

/// `evicts`: kubelet does, by its defaults.
fn size(machine: &Machine, role: Role, evicts: bool, found: &mut impl FnMut(&Check, String)) {
    if version(&machine.kernel).is_some_and(|kernel| kernel < (5, 13)) {
        let release = printable(&machine.kernel);
        found(&KERNEL, format!("its kernel is {release}, and 5.13 is needed"));
    }
    if role == Role::ControlPlane {
        if let Some(cpus) = machine.cpus.filter(|cpus| *cpus < 2) {
            found(&PROCESSORS, format!("it has {cpus} processor, and 2 are needed"));
        }
        if let Some(memory) = machine.memory.filter(|memory| *memory < 1700) {
            found(&MEMORY, format!("it has {memory} MiB of memory, and 1700 are needed"));
        }
    }
    let mut file_systems: BTreeMap<&str, Vec<(&Disk, u64)>> = BTreeMap::new();
    for (path, control_plane, worker) in ROOM {
        let needed = if role == Role::ControlPlane { *control_plane } else { *worker };
        for disk in machine.disks.iter().filter(|disk| disk.path == *path && needed > 0) {
            file_systems.entry(&disk.device).or_default().push((disk, needed));
        }
    }
    for disks in file_systems.values() {
        let needed: u64 = disks.iter().map(|(_, needed)| needed).sum();
        let free = disks.iter().map(|(disk, _)| disk.free).min().unwrap_or_default();
        let paths: Vec<&str> = disks.iter().map(|(disk, _)| disk.path.as_str()).collect();
        let paths = super::list(&paths);
        let Some(left) = free.checked_sub(needed) else {
            let what = format!("{free} MiB are free for {paths}, and {needed} are needed");
            found(&DISK_SPACE, what);
            continue;
        };
        let limit = |disk: &Disk| EVICTION.iter().find(|(path, _)| disk.path == *path);
        let limits = disks.iter().filter_map(|(disk, _)| Some((disk.size, limit(disk)?.1)));
        let Some((size, limit)) = limits.max_by_key(|(_, limit)| *limit).filter(|_| evicts) else {
            continue;
        };
        if left.saturating_mul(100) < size.saturating_mul(limit) {
            let what = format!("{left} of {size} MiB would stay free for {paths}, below {limit} %");
            found(&DISK_PRESSURE, what);
        }
    }
}

fn installed(machine: &Machine, found: &mut impl FnMut(&Check, String)) {
    match machine.localhost.as_deref() {
        None | Some("127.0.0.1") => {}
        Some("") => found(&LOCALHOST, "`localhost` has no address".to_owned()),
        Some(other) => found(&LOCALHOST, format!("`localhost` is {}", printable(other))),
    }
    for other in &machine.others {
        let (name, path) = (printable(&other.name), printable(&other.path));
        match (other.name.as_str(), other.running) {
            ("Docker", false) => {}
            ("Docker", true) => found(&DOCKER, "Docker runs here".to_owned()),
            (_, true) => found(&OTHER_KUBERNETES, format!("{name} runs here ({path})")),
            (_, false) => found(&LEFTOVERS, format!("{name} is here, though it is off ({path})")),
        }
    }
    for package in &machine.packages {
        found(&PACKAGES, format!("the package {} is installed", printable(package)));
    }
    let unfinished: Vec<String> = machine.unfinished.iter().map(|one| printable(one)).collect();
    if !unfinished.is_empty() {
        found(&DPKG, format!("dpkg has not finished: {}", super::list(&unfinished)));
    }
}

/// `6.1.0-18-amd64` → (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
