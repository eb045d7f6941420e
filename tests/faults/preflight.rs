//! What is refused, or warned of, before anything is changed.

use std::fs;

use super::lab_cluster::{INVENTORY, LabCluster};
use super::support::{CONNECTION, PREFLIGHT, run, snapshot};
use super::{Case, Start};

pub const CASES: &[Case] = &[
    Case {
        name: "port taken",
        fault: "a program listens on port 6443 of a control plane",
        answer: "refuses, and names the program",
        often: true,
        start: Start::Bare,
        run: port_taken,
    },
    Case {
        name: "duplicate machine-id",
        fault: "two nodes were cloned with one machine-id",
        answer: "refuses, and names both",
        often: true,
        start: Start::Bare,
        run: duplicate_machine_id,
    },
    Case {
        name: "clock wrong",
        fault: "a node's clock is ten minutes ahead (as the node tells it)",
        answer: "says so, with the difference",
        often: true,
        start: Start::Bare,
        run: clock_wrong,
    },
    Case {
        name: "virtual IP taken",
        fault: "a stranger has the virtual IP",
        answer: "refuses, and shows the stranger's MAC address",
        often: true,
        start: Start::Bare,
        run: vip_taken,
    },
    Case {
        name: "key file open",
        fault: "the private key's file has mode 0644",
        answer: "refuses, and says which command mends it",
        often: true,
        start: Start::Bare,
        run: key_file_open,
    },
    Case {
        name: "host key changed",
        fault: "a node shows another host key than it did",
        answer: "refuses, and shows both fingerprints",
        often: true,
        start: Start::Bare,
        run: host_key_changed,
    },
    Case {
        name: "hostile node: megabytes",
        fault: "a node prints 20 MB where a word was asked for",
        answer: "refuses within its limits",
        often: true,
        start: Start::Bare,
        run: hostile_megabytes,
    },
    Case {
        name: "hostile node: escapes",
        fault: "a node prints ANSI escapes and a false password prompt",
        answer: "shows them as text, asks nobody, sends nothing",
        often: true,
        start: Start::Bare,
        run: hostile_escapes,
    },
    Case {
        name: "symlink planted",
        fault: "a symbolic link to another file lies where slipway writes",
        answer: "refuses, and leaves the other file alone",
        often: true,
        start: Start::Bare,
        run: symlink_planted,
    },
    Case {
        name: "operator's disk full",
        fault: "the operator's machine has no room for the cluster's keys",
        answer: "stops before any node is changed",
        often: true,
        start: Start::Bare,
        run: operators_disk_full,
    },
];

fn port_taken(cluster: &LabCluster) -> String {
    const LISTEN: &str = "systemd-run --quiet --collect --unit=stranger perl -MSocket -e \
        'socket(S, PF_INET, SOCK_STREAM, 0) && bind(S, sockaddr_in(6443, INADDR_ANY)) && \
        listen(S, 1) or die; sleep 600' && \
        timeout 10 sh -c 'until ss -Hltn | grep -q :6443; do sleep 0.1; done'";
    cluster.lab.on("cp-2", LISTEN);
    cluster.lab.apply(INVENTORY).assert_refused(PREFLIGHT, &["cp-2", "6443", "perl"], "a port");
    cluster.lab.on("cp-2", "systemctl stop stranger");
    String::new()
}

fn duplicate_machine_id(cluster: &LabCluster) -> String {
    let id = cluster.lab.on("cp-1", "cat /etc/machine-id");
    let own = cluster.lab.on("cp-3", "cat /etc/machine-id");
    cluster.lab.on_with("cp-3", "cat >/etc/machine-id", &id);
    cluster.lab.apply(INVENTORY).assert_refused(
        PREFLIGHT,
        &["cp-1", "cp-3", "machine-id"],
        "twins",
    );
    cluster.lab.on_with("cp-3", "cat >/etc/machine-id", &own);
    String::new()
}

fn clock_wrong(cluster: &LabCluster) -> String {
    const AHEAD: &str = "printf '#!/bin/sh\\nexec /usr/bin/date -d \"+600 seconds\" \"$@\"\\n' \
        >/usr/local/sbin/date && chmod +x /usr/local/sbin/date";
    cluster.lab.on("w-1", AHEAD);
    let said = cluster.lab.plan(INVENTORY).ran.both();
    cluster.lab.on("w-1", "rm /usr/local/sbin/date");
    assert!(said.contains("clock") && said.contains("w-1"), "{said}");
    String::new()
}

fn vip_taken(cluster: &LabCluster) -> String {
    let vip = cluster.lab.address(100);
    let gateway = cluster.lab.address(1);
    let shown = run("ip", &["-o", "-4", "addr", "show", "to", &gateway], "").stdout;
    let bridge = shown.split_whitespace().nth(1).unwrap().to_owned();
    let address = format!("{vip}/32");
    run("ip", &["addr", "add", &address, "dev", &bridge], "").ok("a stranger takes the address");
    let refused = cluster.lab.apply(INVENTORY);
    run("ip", &["addr", "del", &address, "dev", &bridge], "").ok("the stranger leaves");
    let mac = fs::read_to_string(format!("/sys/class/net/{bridge}/address")).unwrap();
    refused.assert_refused(PREFLIGHT, &[&vip, mac.trim()], "a stranger at the virtual IP");
    String::new()
}

fn key_file_open(cluster: &LabCluster) -> String {
    let key = cluster.lab.file("id_ed25519").display().to_string();
    run("chmod", &["0644", &key], "").ok("chmod");
    let refused = cluster.lab.apply(INVENTORY);
    run("chmod", &["0600", &key], "").ok("chmod");
    assert_ne!(refused.ran.code, 0);
    assert!(refused.ran.both().contains("chmod 600"), "{}", refused.ran.both());
    assert_eq!(refused.events("changing").count(), 0);
    String::new()
}

fn host_key_changed(cluster: &LabCluster) -> String {
    let path = cluster.lab.file("known_hosts");
    let known = fs::read_to_string(&path).unwrap();
    let worker = cluster.lab.workers().next().unwrap().address.clone();
    let plane = cluster.lab.control_planes().next().unwrap().address.clone();
    let key = |address: &str| {
        let line = known.lines().find(|line| line.starts_with(address)).unwrap();
        line.split_once(' ').unwrap().1.to_owned()
    };
    fs::write(&path, known.replace(&key(&worker), &key(&plane))).unwrap();
    let refused = cluster.lab.apply(INVENTORY);
    fs::write(&path, &known).unwrap();
    refused.assert_refused(CONNECTION, &["w-1"], "another host key");
    assert!(refused.ran.both().matches("SHA256:").count() >= 2, "{}", refused.ran.both());
    String::new()
}

/// What the node's `uname` prints instead; slipway's probes find it first.
fn with_hostile_uname(cluster: &LabCluster, script: &str) -> (i32, String) {
    let plant = "cat >/usr/local/sbin/uname && chmod +x /usr/local/sbin/uname";
    cluster.lab.on_with("w-1", plant, &format!("#!/bin/sh\n{script}\n"));
    let run = cluster.lab.apply(INVENTORY);
    cluster.lab.on("w-1", "rm /usr/local/sbin/uname");
    assert_eq!(run.events("changing").count(), 0);
    (run.ran.code, format!("{}{}", run.ran.stdout, run.ran.stderr))
}

fn hostile_megabytes(cluster: &LabCluster) -> String {
    let (code, said) = with_hostile_uname(cluster, "head -c 20000000 /dev/zero | tr '\\0' x");
    assert_ne!(code, 0);
    assert!(said.len() < 100_000 && said.contains("w-1"), "{} bytes", said.len());
    String::new()
}

fn hostile_escapes(cluster: &LabCluster) -> String {
    let script = "printf 'x86_64\\033[2J\\033]0;title\\007\\n[sudo] password for root: '";
    let (code, said) = with_hostile_uname(cluster, script);
    assert_ne!(code, 0);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{7}'), "control characters came through");
    String::new()
}

fn symlink_planted(cluster: &LabCluster) -> String {
    const PLANT: &str = "echo precious >/root/precious; mkdir -p /etc/containerd && \
        ln -s /root/precious /etc/containerd/config.toml";
    cluster.lab.on("w-1", PLANT);
    let before = snapshot::ours(&cluster.lab, &["w-1"]);
    let words = ["w-1", "/etc/containerd/config.toml", "no regular file"];
    cluster.lab.apply(INVENTORY).assert_refused(PREFLIGHT, &words, "a planted link");
    snapshot::assert_same(&before, &snapshot::ours(&cluster.lab, &["w-1"]), "a planted link");
    assert_eq!(cluster.lab.on("w-1", "cat /root/precious"), "precious\n");
    cluster.lab.on("w-1", "rm -r /etc/containerd /root/precious");
    String::new()
}

fn operators_disk_full(cluster: &LabCluster) -> String {
    let state = cluster.lab.file(".slipway");
    fs::create_dir_all(&state).unwrap();
    let at = state.display().to_string();
    let options = ["-t", "tmpfs", "-o", "size=4k", "tmpfs", &at];
    run("mount", &options, "").ok("a small disk");
    let refused = cluster.lab.apply(INVENTORY);
    run("umount", &[&at], "").ok("umount");
    fs::remove_dir_all(&state).unwrap();
    let _ = fs::remove_file(cluster.lab.file("slipway.lock"));
    assert_ne!(refused.ran.code, 0);
    assert_eq!(refused.events("changing").count(), 0, "{}", refused.ran.both());
    assert!(refused.ran.both().contains("No space left"), "{}", refused.ran.both());
    String::new()
}
