//! What a node looks like: every file, its content under `/etc`, every unit. To tell that nothing
//! was changed.

use std::collections::{BTreeMap, BTreeSet};

use super::lab::Lab;

/// What a login by SSH and a look leave, whoever logs in, and what a machine does by itself: theirs,
/// not slipway's. With all that is below; of `/run` only the directory's own time.
const TRACES: &[(&str, &str)] = &[
    ("/var/log/journal", "the journal: of logins, too"),
    ("/run/motd.dynamic", "sshd: its greeting is written anew at each login"),
    ("/run/udev", "udev: its list of devices"),
    ("/run/slipway", "slipway: the lease of an apply, in memory, gone with the run"),
];
const RUN: &str = "/run";

/// Lines that tell a node, by what they tell of.
pub type Snapshot = BTreeMap<String, BTreeSet<String>>;

/// The whole node, but for [`TRACES`] and what the kernel makes up.
const ALL: &str = r#"for root in / /run /tmp /dev/shm /var/lib/containerd /var/lib/kubelet /var/lib/etcd; do
  find "$root" -xdev -printf 'file %p\t%y %m %U:%G %s %T@ %l\n'
done
find /etc -xdev -type f -exec sha256sum {} + | sed 's/^/content /'
systemctl list-unit-files --no-legend --no-pager --plain | sed 's/^/unit-file /'
systemctl list-units --all --no-legend --no-pager --plain | sed 's/^/unit /'"#;

/// What a provisioner changes on a node where a living cluster keeps changing the rest.
const OURS: &str = r"find /etc /usr/local /opt /var/lib/slipway -xdev -type f \
  -printf 'file %p\t%y %m %U:%G %s %T@ %l\n' 2>/dev/null
find /etc -xdev -type f -exec sha256sum {} + | sed 's/^/content /'
systemctl list-unit-files --no-legend --no-pager --plain | sed 's/^/unit-file /'";

/// Looks at bare nodes, all at once.
pub fn whole(lab: &Lab, nodes: &[&str]) -> Snapshot {
    take(lab, nodes, ALL)
}

/// Looks at the parts of living nodes that only a provisioner changes.
pub fn ours(lab: &Lab, nodes: &[&str]) -> Snapshot {
    take(lab, nodes, OURS)
}

/// Waits for the end of the boot, and stops timers: what they start would be taken for a change.
pub fn prepare(lab: &Lab) {
    lab.on_all(
        &lab.names(),
        "systemctl stop '*.timer'; systemctl is-system-running --wait; udevadm settle; :",
        "",
    );
}

fn take(lab: &Lab, nodes: &[&str], look: &str) -> Snapshot {
    let text = format!("export LC_ALL=C; {{ {look}\n}} | sort");
    let seen = lab.on_all(nodes, &text, "");
    nodes
        .iter()
        .zip(seen)
        .map(|(node, text)| {
            let lines: BTreeSet<String> =
                text.lines().filter(|line| !is_trace(line)).map(str::to_owned).collect();
            assert!(lines.len() > 200, "no snapshot of {node}: {} lines", lines.len());
            ((*node).to_owned(), lines)
        })
        .collect()
}

fn is_trace(line: &str) -> bool {
    let Some(path) = line.strip_prefix("file ").and_then(|rest| rest.split('\t').next()) else {
        return false;
    };
    let below = |trace: &str| {
        path.strip_prefix(trace).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    path == RUN || TRACES.iter().any(|(trace, _)| below(trace))
}

/// Every node that is in both is the same in both.
#[track_caller]
pub fn assert_same(before: &Snapshot, after: &Snapshot, what: &str) {
    for (node, after) in after {
        let before = &before[node];
        let gone: Vec<_> = before.difference(after).take(30).collect();
        let new: Vec<_> = after.difference(before).take(30).collect();
        assert!(
            gone.is_empty() && new.is_empty(),
            "{what} changed {node}:\n- {gone:#?}\n+ {new:#?}"
        );
    }
}
