//! The lab, for real: nodes start, answer, die, come back, and leave nothing. Needs root.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use slipway::process::{Finished, Process};

/// Two labs at once; each is removed however the test ends, as far as that is possible.
const LABS: [&str; 2] = ["t-lab-a", "t-lab-b"];

fn slipway(args: &[&str]) -> Process {
    Process::at(Path::new(env!("CARGO_BIN_EXE_slipway"))).arg("lab").args(args)
}

async fn lab(args: &[&str]) -> Finished {
    let done = slipway(args).output().await.unwrap();
    assert_eq!(done.code, 0, "lab {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

fn up<'a>(name: &'a str, dir: &'a str) -> [&'a str; 9] {
    ["up", "--name", name, "--control-planes", "1", "--workers", "0", "--dir", dir]
}

async fn on(name: &str, target: &str, command: &str) -> String {
    lab(&["ssh", "--name", name, target, "--", command]).await.text()
}

async fn state(name: &str) -> serde_json::Value {
    let text = lab(&["status", "--name", name, "--output", "json"]).await.text();
    serde_json::from_str(&text).unwrap()
}

/// All of this machine that a lab touches, one line a thing.
async fn machine() -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut add = |text: &str, keep: &dyn Fn(&str) -> bool| {
        seen.extend(text.lines().filter(|line| keep(line)).map(str::to_owned));
    };
    let run = async |program: &'static str, args: &[&str]| {
        Process::new(program).args(args).run().await.unwrap().text()
    };
    add(&run("ip", &["-brief", "link"]).await, &|_| true);
    add(&run("nft", &["list", "ruleset"]).await, &|_| true);
    add(&std::fs::read_to_string("/proc/self/mounts").unwrap(), &|_| true);
    add(&run("find", &["/sys/fs/cgroup", "-type", "d", "-name", "slipway*"]).await, &|_| true);
    let run_files = Process::new("find").args(["/run/systemd/nspawn", "/run/chrony"]);
    let paths = run_files.output().await.unwrap().text();
    add(&paths, &|path| path.matches('/').count() > 4 || path.contains("slipway"));
    add(&run("ps", &["-eo", "args"]).await, &|line| {
        // A defunct one has ended; who reaps it is the first process's affair.
        (line.contains("t-lab-") || line.contains("nspawn")) && !line.ends_with("<defunct>")
    });
    // What the kernel moves by itself is no setting.
    let moving =
        ["dentry", "inode", "file-nr", "aio-nr", "random", "last_pid", "quota", "conntrack"];
    let sysctls = Process::new("sysctl").arg("-a").output().await.unwrap().text();
    add(&sysctls, &|line| !moving.iter().any(|word| line.contains(word)));
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_live_die_come_back_and_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dirs: BTreeMap<&str, String> =
        LABS.map(|name| (name, home.path().join(name).display().to_string())).into();
    for name in LABS {
        lab(&["down", "--name", name]).await;
    }
    let before = machine().await;

    // `up` dies somewhere on its way; the next one finishes the work.
    let [a, b] = LABS;
    let mut cut = slipway(&up(a, &dirs[a])).into_inner().spawn().unwrap();
    let moment = Duration::from_millis(rand::random_range(20..1500));
    let _ = tokio::time::timeout(moment, cut.wait()).await;
    cut.kill().await.unwrap();
    println!("cut after {moment:?}");
    lab(&up(a, &dirs[a])).await;
    lab(&up(b, &dirs[b])).await;

    for name in LABS {
        assert_eq!(state(name).await["nodes"][0]["state"], "up");
        assert_eq!(on(name, "cp-1", "id -un").await, "root");
        assert_eq!(on(name, "admin@cp-1", "sudo id -un").await, "root");
    }
    let (state_a, state_b) = (state(a).await, state(b).await);
    assert_ne!(state_a["subnet"], state_b["subnet"]);
    let ids =
        [on(a, "cp-1", "cat /etc/machine-id").await, on(b, "cp-1", "cat /etc/machine-id").await];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0].len(), 32);
    tells_the_time(&state_a).await;

    // A power cut keeps the disk.
    let boot =
        on(a, "cp-1", "echo kept > /root/file; sync; cat /proc/sys/kernel/random/boot_id").await;
    lab(&["kill", "--name", a, "cp-1"]).await;
    assert_eq!(state(a).await["nodes"][0]["state"], "off");
    lab(&["start", "--name", a, "cp-1"]).await;
    let seen = on(a, "cp-1", "cat /root/file /proc/sys/kernel/random/boot_id").await;
    assert!(seen.starts_with("kept\n"), "{seen}");
    assert_ne!(seen.lines().nth(1), Some(boot.as_str()));
    lab(&["reboot", "--name", a, "cp-1"]).await;
    assert_eq!(on(a, "cp-1", "cat /root/file /etc/machine-id").await, format!("kept\n{}", ids[0]));

    // `up` repairs a bridge and rules that are gone; an edited inventory is the user's.
    let inventory = Path::new(&dirs[b]).join("slipway.yaml");
    std::fs::write(&inventory, "mine\n").unwrap();
    let index = state_b["subnet"].as_str().unwrap().split('.').nth(2).unwrap();
    let bridge = format!("slw{index}");
    Process::new("ip").args(["link", "delete", &bridge]).run().await.unwrap();
    let table = format!("slipway_lab_{index}");
    Process::new("nft").args(["delete", "table", "ip", &table]).run().await.unwrap();
    let said = lab(&up(b, &dirs[b])).await;
    assert!(String::from_utf8_lossy(&said.stderr).contains("changed by hand"));
    assert_eq!(std::fs::read_to_string(&inventory).unwrap(), "mine\n");
    assert_eq!(on(b, "cp-1", "hostname").await, "cp-1");
    assert!(Process::new("nft").args(["list", "table", "ip", &table]).run().await.is_ok());

    for name in LABS {
        lab(&["down", "--name", name]).await;
    }
    let after = machine().await;
    let left: Vec<_> = before.symmetric_difference(&after).collect();
    assert!(left.is_empty(), "{left:#?}");
    assert!(!Path::new(&dirs[a]).exists());
    assert_eq!(std::fs::read_to_string(&inventory).unwrap(), "mine\n");
}

/// Asks the lab's time server as a client of NTP does.
async fn tells_the_time(state: &serde_json::Value) {
    let server = state["subnet"].as_str().unwrap().replace(".0/24", ".1");
    let socket = tokio::net::UdpSocket::bind((server.as_str(), 0)).await.unwrap();
    let mut packet = [0; 48];
    packet[0] = 0x23;
    socket.send_to(&packet, (server.as_str(), 123)).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut packet));
    assert_eq!(answer.await.unwrap().unwrap(), 48);
    // A stratum that clients accept.
    assert!((1..16).contains(&packet[1]), "{}", packet[1]);
}

#[tokio::test]
async fn what_is_not_there_is_a_usage_error() {
    for args in [
        &["ssh", "--name", "none", "cp-1"][..],
        &["kill", "--name", "none", "cp-1"],
        &["up", "--name", "No"],
        &["up", "--name", "none", "--control-planes", "0"],
    ] {
        let done = slipway(args).output().await.unwrap();
        assert_eq!(done.code, 64, "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
