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

/// What a command on cp-1, which must fail, writes to standard error.
async fn fails(name: &str, command: &str) -> String {
    let done = slipway(&["ssh", "--name", name, "cp-1", "--", command]).output().await.unwrap();
    assert_ne!(done.code, 0, "{command}: {}", done.text());
    String::from_utf8(done.stderr).unwrap()
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
    add(&run("losetup", &["--all"]).await, &|line| line.contains("slipway"));
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
    lab(&[&up(b, &dirs[b])[..], &["--disk", "1G"]].concat()).await;

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
    nothing_more_than_a_machine_needs(a).await;
    what_nodes_may_not(a).await;

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

    let done = slipway(&["cut", "--name", a, "cp-9"]).output().await.unwrap();
    assert!(
        done.code == 64 && String::from_utf8_lossy(&done.stderr).contains("its nodes are cp-1")
    );
    network_faults(a, &state_a).await;
    a_held_lock(a).await;
    a_full_disk(b, a).await;
    snapshots(a).await;
    snapshots(b).await;

    // `up` repairs a bridge and rules that are gone; an edited inventory is the user's.
    let inventory = Path::new(&dirs[b]).join("slipway.yaml");
    std::fs::write(&inventory, "mine\n").unwrap();
    let index = state_b["subnet"].as_str().unwrap().split('.').nth(2).unwrap();
    let bridge = format!("slw{index}");
    Process::new("ip").args(["link", "delete", &bridge]).run().await.unwrap();
    let table = format!("slipway_lab_{index}");
    Process::new("nft").args(["delete", "table", "ip", &table]).run().await.unwrap();
    lab(&["cut", "--name", b, "cp-1"]).await;
    let said = lab(&up(b, &dirs[b])).await;
    assert!(String::from_utf8_lossy(&said.stderr).contains("changed by hand"));
    assert_eq!(std::fs::read_to_string(&inventory).unwrap(), "mine\n");
    assert_eq!(on(b, "cp-1", "hostname").await, "cp-1");
    assert!(Process::new("nft").args(["list", "table", "ip", &table]).run().await.is_ok());

    // `down` ends whatever goes on.
    for fault in [&["delay", "cp-1", "50ms"][..], &["loss", "cp-1", "5%"], &["hold", "cp-1"]] {
        lab(&[fault, &["--name", b]].concat()).await;
    }
    for fault in ["fill", "cut"] {
        lab(&[fault, "--name", b, "cp-1"]).await;
    }
    for name in LABS {
        lab(&["down", "--name", name]).await;
    }
    let after = machine().await;
    let left: Vec<_> = before.symmetric_difference(&after).collect();
    assert!(left.is_empty(), "{left:#?}");
    assert!(!Path::new(&dirs[a]).exists());
    assert_eq!(std::fs::read_to_string(&inventory).unwrap(), "mine\n");
}

/// Nothing that slipway brings is there, but for what a network and an SSH server need.
async fn nothing_more_than_a_machine_needs(name: &str) {
    let there = on(name, "cp-1", "dpkg-query -W -f '${Package}\\n'").await;
    let there: BTreeSet<&str> = there.lines().collect();
    let brought = [
        "ca-certificates",
        "chrony",
        "curl",
        "dbus",
        "iptables",
        "kmod",
        "netbase",
        "openssl",
        "perl",
        "tzdata",
    ];
    let more: Vec<&&str> = brought.iter().filter(|package| there.contains(**package)).collect();
    assert!(more.is_empty() && there.contains("openssh-server"), "{more:?}");
}

/// The clock, the modules and the swap of the machine below are no node's. The last three calls, by
/// their numbers on amd64, are settimeofday(2), of a time zone alone, as timedated makes it, which
/// moves the clock; init_module(2); and swapoff(2).
async fn what_nodes_may_not(name: &str) {
    let moved = {
        let (wall, steady) = (std::time::SystemTime::now(), std::time::Instant::now());
        move || wall.elapsed().unwrap().as_secs_f64() - steady.elapsed().as_secs_f64()
    };
    let said = fails(name, "date --set=@1000000000").await;
    assert!(said.contains("Operation not permitted"), "{said}");
    let calls = [
        "pack('ll', -480, 0); print syscall(164, 0, $x)",
        "''; print syscall(175, 0, 0, $x)",
        "'/nothing'; print syscall(168, $x)",
    ];
    for call in calls {
        let try_it = format!("perl -e '$x = {}, q( ), $! + 0'", call.replace('\'', "\""));
        assert_eq!(on(name, "cp-1", &try_it).await, "-1 1", "{call}");
    }
    let moved = moved();
    assert!(moved.abs() < 1.0, "the clock moved by {moved} s");
}

async fn faults(name: &str) -> serde_json::Value {
    state(name).await["nodes"][0]["faults"].take()
}

/// Mends cp-1, which then has no fault.
async fn mend(name: &str) {
    lab(&["mend", "--name", name, "cp-1"]).await;
    assert_eq!(faults(name).await, serde_json::json!([]));
}

async fn network_faults(name: &str, state_before: &serde_json::Value) {
    let gateway = state_before["subnet"].as_str().unwrap().replace(".0/24", ".1");
    // The last line of ping's: `rtt min/avg/max/mdev = 50.1/50.9/51.7/0.4 ms`.
    let shortest = async || -> f64 {
        let said = on(name, "cp-1", &format!("ping -q -c 3 -i 0.2 {gateway}")).await;
        let times = said.rsplit(" = ").next().unwrap();
        times.split('/').next().unwrap().parse().unwrap()
    };
    lab(&["delay", "--name", name, "cp-1", "1s"]).await;
    lab(&["delay", "--name", name, "cp-1", "50ms"]).await;
    assert_eq!(faults(name).await, serde_json::json!(["delay 50ms"]));
    let late = shortest().await;
    assert!((50.0..150.0).contains(&late), "{late} ms");
    // Large packets come through the line as well.
    assert_eq!(sent(name, 3_000_000).await, "3000000");
    mend(name).await;
    let soon = shortest().await;
    assert!(soon < 40.0, "{soon} ms");

    // A share of 5 % each way: of 300 answers, some 29 are lost.
    lab(&["loss", "--name", name, "cp-1", "5%"]).await;
    assert_eq!(faults(name).await, serde_json::json!(["loss 5%"]));
    let said = on(name, "cp-1", &format!("ping -q -c 300 -i 0.005 -W 1 {gateway}")).await;
    let words: Vec<&str> = said.split_whitespace().collect();
    let received = words.iter().position(|word| word.starts_with("received")).unwrap() - 1;
    let lost = 300 - words[received].parse::<i32>().unwrap();
    assert!((8..80).contains(&lost), "{lost} of 300 lost");
    mend(name).await;

    // Packets vanish: a connection is neither made nor refused. The kernel mends it in time.
    let address = state_before["nodes"][0]["address"].as_str().unwrap();
    let connects = async |seconds| {
        let connecting = tokio::net::TcpStream::connect((address, 22));
        tokio::time::timeout(Duration::from_secs(seconds), connecting).await.map(Result::unwrap)
    };
    lab(&["cut", "--name", name, "cp-1", "--for", "4s"]).await;
    assert!(connects(1).await.is_err());
    let cut = state(name).await["nodes"][0].take();
    assert_eq!(cut["state"], "silent");
    assert!(cut["faults"][0].as_str().unwrap().starts_with("cut --for "), "{cut}");
    assert!(connects(20).await.is_ok());
    assert_eq!(faults(name).await, serde_json::json!([]));
    lab(&["cut", "--name", name, "cp-1"]).await;
    assert!(connects(1).await.is_err());
    assert_eq!(faults(name).await, serde_json::json!(["cut"]));
    mend(name).await;
    assert!(connects(5).await.is_ok());
}

/// Sends so many bytes to cp-1, which counts them.
async fn sent(name: &str, bytes: usize) -> String {
    let command = "head -c \"$1\" /dev/zero | \"$2\" lab ssh --name \"$3\" cp-1 -- wc -c";
    let program = env!("CARGO_BIN_EXE_slipway");
    let args = ["-c", command, "sh", &bytes.to_string(), program, name];
    Process::new("sh").args(args).run().await.unwrap().text()
}

async fn a_held_lock(name: &str) {
    lab(&["hold", "--name", name, "cp-1"]).await;
    assert_eq!(faults(name).await, serde_json::json!(["hold"]));
    let said = fails(name, "apt-get install -y no-such-package").await;
    assert!(said.contains("Could not get lock /var/lib/dpkg/lock-frontend"), "{said}");
    let said = fails(name, "dpkg --configure -a").await;
    assert!(said.contains("lock was locked by another process"), "{said}");
    mend(name).await;
    on(name, "cp-1", "dpkg --configure -a").await;
    // Who waits for it gets it in time.
    lab(&["hold", "--name", name, "cp-1", "--for", "1s"]).await;
    on(name, "cp-1", "apt-get -o DPkg::Lock::Timeout=20 install -y base-files").await;
    assert_eq!(faults(name).await, serde_json::json!([]));
}

/// Fills the disk of a node that has its own; one that has none is refused.
async fn a_full_disk(name: &str, without: &str) {
    let done = slipway(&["fill", "--name", without, "cp-1"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.code == 64 && said.contains("--disk"), "{said}");
    let dirs = ["/etc", "/usr/local/bin", "/var/tmp", "/var/lib/containerd", "/var/lib/etcd"];
    let writes = dirs.map(|dir| format!("echo text >{dir}/file"));
    lab(&["fill", "--name", name, "cp-1"]).await;
    assert_eq!(faults(name).await, serde_json::json!(["fill"]));
    let said = fails(name, &writes.join("; ")).await;
    assert_eq!(said.matches("No space left on device").count(), dirs.len(), "{said}");
    mend(name).await;
    on(name, "cp-1", &writes.join(" && ")).await;
    lab(&["fill", "--name", name, "cp-1", "--leave", "50M"]).await;
    on(name, "cp-1", "head -c 40M /dev/zero >/var/tmp/file").await;
    fails(name, "head -c 20M /dev/zero >/var/tmp/more").await;
    on(name, "cp-1", "rm /var/tmp/file /var/tmp/more").await;
    mend(name).await;
}

/// What was made after a snapshot is gone when it is restored; what was removed is there again.
async fn snapshots(name: &str) {
    on(name, "cp-1", "echo then | tee /root/old >/var/lib/etcd/old").await;
    lab(&["hold", "--name", name, "cp-1"]).await;
    lab(&["snapshot", "--name", name, "then"]).await;
    assert_eq!(faults(name).await, serde_json::json!([]));
    assert_eq!(lab(&["snapshots", "--name", name]).await.text(), "then");
    on(name, "cp-1", "echo now >/root/new; rm /root/old; echo now >/var/lib/etcd/old").await;
    lab(&["restore", "--name", name, "then"]).await;
    assert_eq!(on(name, "cp-1", "cat /root/old /var/lib/etcd/old").await, "then\nthen");
    let said = fails(name, "cat /root/new").await;
    assert!(said.contains("No such file"), "{said}");
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
        &["cut", "--name", "none", "cp-1"],
        &["mend", "--name", "none", "cp-1"],
        &["delay", "--name", "none", "cp-1", "0s"],
        &["loss", "--name", "none", "cp-1", "101%"],
        &["snapshot", "--name", "none", "../x"],
        &["restore", "--name", "none", "then"],
        &["up", "--name", "No"],
        &["up", "--name", "none", "--control-planes", "0"],
    ] {
        let done = slipway(args).output().await.unwrap();
        assert_eq!(done.code, 64, "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
