//! Mounts with options that break what slipway and Kubernetes do in them.

use std::collections::BTreeMap;

use super::finding::{Check, Finding, JOINING};
use super::{joining, list};
use crate::diagnostic::printable;
use crate::survey::Mount;
use crate::survey::Survey;

pub(super) const READ_ONLY: Check = Check {
    name: "read-only",
    severity: super::Severity::Error,
    of: JOINING,
    about: "A directory is mounted read-only that slipway, Debian's packages or Kubernetes write to.",
    todo: "mount it so that it can be written to; slipway needs an ordinary Debian",
};
pub(super) const NO_EXEC: Check = Check {
    name: "noexec",
    severity: super::Severity::Error,
    of: JOINING,
    about: "A directory is mounted `noexec` that programs run from: `/usr/local/bin`, `/opt/cni/bin`, \
            `/var/lib/containerd`, and `/var/lib/dpkg`, where packages' own scripts lie. `/tmp` does \
            not matter.",
    todo: "mount it without `noexec` (`mount -o remount,exec`, and in /etc/fstab)",
};

/// Directories where programs lie that run.
const PROGRAMS: &[&str] =
    &["/usr", "/usr/local/bin", "/opt/cni/bin", "/var/lib/containerd", "/var/lib/dpkg"];

pub(super) fn findings(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, surveyed) in survey.nodes.iter().filter(|(_, surveyed)| joining(surveyed)) {
        let mounts = &surveyed.facts.machine.mounts;
        let runs = |mount: &&Mount| mount.no_exec && PROGRAMS.contains(&mount.directory.as_str());
        let told = [
            (&READ_ONLY, "read-only", together(mounts.iter().filter(|mount| mount.read_only))),
            (&NO_EXEC, "`noexec`", together(mounts.iter().filter(runs))),
        ];
        for (check, how, points) in told {
            findings.extend(points.into_iter().map(|(point, directories)| {
                check.on(name, format!("{point} is mounted {how}, and {directories}"))
            }));
        }
    }
    findings
}

/// Mount points, and what of ours lies in each.
fn together<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Vec<(String, String)> {
    let mut points: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for mount in mounts {
        points.entry(&mount.point).or_default().push(printable(&mount.directory));
    }
    let words = |directories: Vec<String>| match directories.len() {
        1 => format!("{} lies there", list(&directories)),
        _ => format!("{} lie there", list(&directories)),
    };
    points.into_iter().map(|(point, inside)| (printable(point), words(inside))).collect()
}
