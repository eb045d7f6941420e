//! No probe changes anything: a plan runs all of them on machines that it promises not to change.

use super::probes::{ProbeKind, probes};

/// Commands that change a machine or a cluster, as a word of shell and what may follow it.
const CHANGING: &[(&str, &[&str])] = &[
    ("rm", &[]),
    ("mv", &[]),
    ("cp", &[]),
    ("ln", &[]),
    ("tee", &[]),
    ("mkdir", &[]),
    ("mktemp", &[]),
    ("touch", &[]),
    ("chmod", &[]),
    ("chown", &[]),
    ("install", &[]),
    ("kill", &[]),
    ("mount", &[]),
    ("umount", &[]),
    ("modprobe", &[]),
    ("swapoff", &[]),
    ("reboot", &[]),
    ("hostname", &[]),
    ("apt-get", &[]),
    ("dpkg", &[]),
    ("dd", &[]),
    ("ip", &["add", "del", "flush", "set", "replace", "change"]),
    ("nft", &["add", "delete", "flush", "insert", "replace", "-f"]),
    ("sysctl", &["-w", "-p", "--system"]),
    ("systemctl", &["start", "stop", "restart", "reload", "enable", "disable", "mask", "unmask"]),
    ("ctr", &["import", "rm", "pull", "tag", "label", "delete", "create"]),
    ("etcdctl", &["put", "del", "add", "remove", "promote", "update", "defrag", "compact"]),
    (
        "kubectl",
        &[
            "create", "apply", "delete", "patch", "label", "annotate", "taint", "replace", "scale",
            "edit",
        ],
    ),
    ("kubeadm", &["init", "join", "reset", "upgrade", "token"]),
];

/// What a line of shell changes: a command of [`CHANGING`] where one may stand, or a redirection.
fn changes(line: &str) -> Option<String> {
    let line = line.split(" # ").next().unwrap();
    let line = if line.trim_start().starts_with('#') { "" } else { line };
    for part in line.split(['|', ';', '&', '(', '{', '`']) {
        let words: Vec<&str> =
            part.split_whitespace().map(|word| word.trim_matches(['\'', '"', '$'])).collect();
        let starts = ["then", "do", "else", "!", "if", "while", "until", "exec", "env"];
        let mut words = words.into_iter().skip_while(|word| {
            let limit = *word == "timeout" || word.parse::<f64>().is_ok();
            starts.contains(word) || word.contains('=') || limit
        });
        let Some(command) = words.next() else { continue };
        // Scripts call kubectl by `$kubectl`, or `$k`.
        let command = if command == "k" { "kubectl" } else { command };
        let found = CHANGING.iter().find(|(name, _)| *name == command);
        let Some((name, verbs)) = found else { continue };
        if verbs.is_empty() || words.any(|word| verbs.contains(&word)) {
            return Some((*name).to_owned());
        }
    }
    let targets = line.split('>').skip(1).map(str::trim_start);
    let mut writes = targets.filter(|to| {
        let file = to.starts_with('/') || to.starts_with("\"$") || to.starts_with('$');
        file && !to.starts_with("/dev/null") && !to.starts_with("\"/dev/tcp")
    });
    writes.next().map(|to| format!("> {to}"))
}

/// What kubeadm would write is written, into memory, and is gone afterwards; ARCHITECTURE.md says why.
const WRITES: ProbeKind = ProbeKind::Written;

/// While the API is asked, the administrator's keys are in a file of its own in memory.
const KEYS: &[&str] = &[
    "pem=$(mktemp /run/slipway-api.XXXXXX) || exit",
    "trap 'rm -f \"$pem\"' EXIT",
    "}\" | base64 -d >\"$pem\"",
];

#[test]
fn no_probe_has_a_changing_command() {
    for (probe, kind) in probes().into_iter().filter(|(_, kind)| *kind != WRITES) {
        let lines = probe.first().into_iter().chain([probe.text()]).flat_map(str::lines);
        for line in lines.filter(|line| !KEYS.contains(&line.trim())) {
            assert_eq!(changes(line.trim()), None, "{kind:?}: {line}");
        }
    }
}

#[test]
fn changing_commands_are_found() {
    for line in [
        "ip neigh flush to \"$1\"",
        "[ -e x ] && rm -f x",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
        "if systemctl restart chrony; then",
        "k get nodes | kubectl --kubeconfig /etc/x apply -f -",
        "timeout 5 etcdctl --endpoints=a member remove 1",
        "cat >\"$f\"",
        "$kubectl delete pod x",
        "$k patch node x",
        "if $etcdctl member promote 1; then",
    ] {
        assert!(changes(line).is_some(), "{line}");
    }
    for line in [
        "systemctl is-active --quiet chrony && p chrony running",
        "etcdctl \"$@\" member list -w json 2>/dev/null",
        "# rm everything",
        "nft -s list table ip slipway_vrrp | sha256sum",
        "$k get nodes",
        "kubectl='kubectl --kubeconfig /etc/kubernetes/admin.conf' etcdctl='etcdctl --cacert=/x'",
        "kubectl diff --server-side -f - >/dev/null 2>&1",
    ] {
        assert_eq!(changes(line), None, "{line}");
    }
}
