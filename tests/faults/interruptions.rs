//! slipway dies, connections break and nodes lose power, in the middle of what matters.

use std::time::{Duration, Instant};

use super::lab_cluster::{INVENTORY, LabCluster};
use super::running::Running;
use super::support::kube::name;
use super::support::{PREFLIGHT, eventually, pause, secs};
use super::{Case, Start};

macro_rules! case {
    ($name:literal, $fault:literal, $answer:expr, $often:literal, $start:ident, $run:expr) => {
        Case {
            name: $name,
            fault: $fault,
            answer: $answer,
            often: $often,
            start: Start::$start,
            run: $run,
        }
    };
}

const CUT: &str = "connects again and goes on; what it cannot do in that run, the next does";
const POWER: &str = "fails with the node's name; the next apply ends in the same cluster";

pub const CASES: &[Case] = &[
    case!(
        "kill -9, all the way",
        "slipway is killed at 20 and more changes of one new cluster",
        "the next apply goes on, each time",
        false,
        Bare,
        kill_all_the_way
    ),
    case!(
        "cut during init",
        "the first control plane's network is cut for 15 s during `kubeadm init`",
        CUT,
        false,
        Bare,
        |cluster| cut(cluster, "cp-1", "kubeadm init")
    ),
    case!(
        "power cut during init",
        "the first control plane loses power during `kubeadm init`",
        POWER,
        false,
        Bare,
        |cluster| power(cluster, "cp-1", "kubeadm init")
    ),
    case!(
        "cut during control-plane join",
        "a joining control plane's network is cut for 15 s",
        CUT,
        false,
        Whole,
        |cluster| again(cluster, "cp-3", "up to etcd", cut)
    ),
    case!(
        "power cut during control-plane join",
        "a joining control plane loses power",
        POWER,
        false,
        Whole,
        |cluster| again(cluster, "cp-3", "up to etcd", power)
    ),
    case!(
        "power cut after etcd's join",
        "a control plane loses power when it votes in etcd and is no node yet",
        POWER,
        false,
        Whole,
        |cluster| again(cluster, "cp-3", "ask its API server", power)
    ),
    case!(
        "cut during worker join",
        "a joining worker's network is cut for 15 s",
        CUT,
        false,
        Whole,
        |cluster| again(cluster, "w-1", "kubeadm join", cut)
    ),
    case!(
        "power cut during worker join",
        "a joining worker loses power",
        POWER,
        false,
        Whole,
        |cluster| again(cluster, "w-1", "kubeadm join", power)
    ),
    case!(
        "cut during image import",
        "the network is cut for 15 s during the import of images",
        CUT,
        false,
        Whole,
        |cluster| again(cluster, "w-1", "import", cut)
    ),
    case!(
        "power cut during image import",
        "the node loses power during the import of images",
        POWER,
        false,
        Whole,
        |cluster| again(cluster, "w-1", "import", power)
    ),
    case!(
        "cold start",
        "all machines lose power at once; they come back workers first, and one control plane stays off",
        "nothing: the API answers, pods run and the virtual IP has a holder without slipway; once the last one is \
         on, an apply changes nothing",
        false,
        Whole,
        cold_start
    ),
    case!(
        "apt's lock held",
        "another program holds apt's lock for 20 s",
        "waits for it, up to two minutes",
        false,
        Whole,
        lock_held
    ),
    case!(
        "disk full",
        "a node's disk is full, or becomes full in the middle",
        "refuses; or fails with the node's own words, and once there is room, the next apply goes on",
        false,
        Whole,
        disk_full
    ),
    case!(
        "bundle damaged",
        "one byte of a program in the bundle has changed",
        "never runs or imports it, and names the file",
        false,
        Whole,
        bundle_damaged
    ),
];

/// Kills slipway at every ninth change, and at the first of each kind that matters, and applies
/// again, until an apply comes to its end.
fn kill_all_the_way(cluster: &LabCluster) -> String {
    const EVERY: usize = 9;
    const MATTERS: [&str; 4] = ["kubeadm init", "kubeadm join", "import", "apply "];
    let mut killed = Vec::new();
    let mut died = Instant::now();
    loop {
        let mut running = Running::start(cluster);
        let mut last = String::new();
        let mut count = 0;
        while count < EVERY {
            match running.next_change() {
                Some(change) => last = change,
                None => break,
            }
            let seen = |kind: &&str| killed.iter().any(|change: &String| change.contains(kind));
            let new = MATTERS.iter().any(|kind| last.contains(kind) && !seen(kind));
            count = if new { EVERY } else { count + 1 };
        }
        if count < EVERY {
            let (code, said) = running.end();
            // A node may not have noticed the last one's end yet; the message says how long it may take.
            let held = code == PREFLIGHT && said.contains("another run holds");
            if held && died.elapsed() < secs(20) {
                continue;
            }
            assert_eq!(code, 0, "after {} kills:\n{said}", killed.len());
            break;
        }
        running.kill();
        died = Instant::now();
        killed.push(last);
        assert!(killed.len() < 60, "no end in sight: {killed:#?}");
    }
    let had = |what: &str| killed.iter().filter(|change| change.contains(what)).count();
    cluster.apply_whole("an apply after many kills");
    assert!(MATTERS.iter().all(|kind| had(kind) > 0), "{killed:#?}");
    assert!(killed.len() >= 20, "{} kills: {killed:#?}", killed.len());
    format!(
        "{} boundaries, all converged; {} of them during kubeadm, {} during images, {} during add-ons",
        killed.len(),
        had("kubeadm"),
        had("import"),
        had("apply ")
    )
}

/// The network of `node` is cut for 15 s when it begins `what`.
fn cut(cluster: &LabCluster, node: &str, what: &str) -> String {
    let mut running = Running::start(cluster);
    assert!(running.until(node, what), "`{what}` never began on {node}");
    pause(Duration::from_millis(800));
    cluster.lab.lab("cut", &[node, "--for", "15s"]);
    let (code, said) = running.end();
    cluster.lab.lab("mend", &[node]);
    println!("{said}");
    cluster.apply_whole("an apply after a cut");
    if code == 0 { "the same run went on".to_owned() } else { "the next apply went on".to_owned() }
}

/// `node` loses power a second after it begins `what`, and is switched on when the run has ended.
fn power(cluster: &LabCluster, node: &str, what: &str) -> String {
    let mut running = Running::start(cluster);
    assert!(running.until(node, what), "`{what}` never began on {node}");
    pause(secs(1));
    cluster.lab.lab("kill", &[node]);
    pause(secs(2));
    cluster.lab.lab("start", &[node]);
    let (code, said) = running.end();
    println!("{said}");
    eventually("the node answers", secs(60), || cluster.lab.try_on(node, "true", "").tried());
    cluster.apply_whole("an apply after a power cut");
    if code == 0 { "the same run went on".to_owned() } else { "the next apply went on".to_owned() }
}

/// A member is reinstalled, and something happens while it joins again.
fn again(
    cluster: &LabCluster,
    node: &str,
    what: &str,
    fault: fn(&LabCluster, &str, &str) -> String,
) -> String {
    cluster.reinstall(node);
    fault(cluster, node, what)
}

/// Who held the virtual IP, and is first in the inventory, comes last.
fn cold_start(cluster: &LabCluster) -> String {
    let (lab, kube) = (&cluster.lab, cluster.kube());
    for node in lab.names() {
        lab.lab("kill", &[node]);
    }
    let began = Instant::now();
    for node in ["w-2", "w-1", "cp-3", "cp-2"] {
        lab.lab("start", &[node]);
    }
    let ready = || {
        let nodes = kube.objects(&["nodes"])?;
        let is = |node: &&serde_json::Value| {
            node["status"]["conditions"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
            })
        };
        let mut ready: Vec<&str> = nodes.iter().filter(is).map(name).collect();
        ready.sort_unstable();
        if ready == ["cp-2", "cp-3", "w-1", "w-2"] {
            Ok(())
        } else {
            Err(format!("Ready: {ready:?}"))
        }
    };
    eventually("four of five nodes are Ready", secs(240), ready);
    let apart = began.elapsed().as_secs();
    lab.lab("start", &["cp-1"]);
    cluster.whole();
    lab.apply(INVENTORY).assert_nothing_to_do("an apply after a cold start");
    format!("four nodes Ready after {apart} s, without slipway")
}

fn lock_held(cluster: &LabCluster) -> String {
    cluster.reinstall("w-1");
    cluster.lab.lab("hold", &["w-1", "--for", "20s"]);
    cluster.apply_whole("an apply while apt's lock is held");
    String::new()
}

fn disk_full(cluster: &LabCluster) -> String {
    cluster.reinstall("w-1");
    cluster.lab.lab("fill", &["w-1", "--leave", "60M"]);
    let refused = cluster.lab.apply(INVENTORY);
    refused.assert_refused(PREFLIGHT, &["w-1", "are free for /var/lib"], "a full disk");
    cluster.lab.lab("mend", &["w-1"]);
    let mut running = Running::start(cluster);
    assert!(running.until("w-1", "import"), "no import");
    cluster.lab.lab("fill", &["w-1", "--leave", "4M"]);
    let (code, said) = running.end();
    assert_ne!(code, 0);
    let full = said.to_lowercase().contains("no space left on device");
    assert!(full && said.contains("w-1"), "{said}");
    cluster.lab.lab("mend", &["w-1"]);
    cluster.apply_whole("an apply after a full disk");
    String::new()
}

fn bundle_damaged(cluster: &LabCluster) -> String {
    cluster.reinstall("w-1");
    let said = super::running::with_damaged_bundle(cluster, "kubelet");
    assert!(said.contains("kubelet") && said.contains("w-1"), "{said}");
    let there = cluster.lab.on("w-1", "ls /usr/local/bin/kubelet 2>/dev/null; :");
    assert_eq!(there, "", "a damaged program was written");
    cluster.apply_whole("an apply with the good bundle");
    String::new()
}
