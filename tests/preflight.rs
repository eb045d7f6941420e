//! What preflight finds: whole inventories as transcripts, limits as tables, and the documentation.
//!
//! `tests/preflight/NAME.facts` is what the nodes of `NAME.yaml` print beside what good machines do,
//! `NAME.txt` what is said of it. `make bless` writes it anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use slipway::cluster::{Cluster, Endpoint};
use slipway::command::Output;
use slipway::etcd::EtcdMember;
use slipway::preflight::{self, CHECKS, Finding};
use slipway::report::findings_text;
use slipway::survey::{Facts, Listed, Survey};

/// The C library that slipway itself needs, here.
const GLIBC: (u32, u32) = (2, 34);
/// A moment, in ns.
const NOW: i64 = 1_795_283_444_000_000_000;
const SECOND: f64 = 1e9;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/preflight")
}

fn cluster(name: &str) -> Cluster {
    slipway::inventory::load(&root().join(format!("{name}.yaml"))).unwrap().cluster
}

/// What a good, bare machine prints.
fn good(cluster: &Cluster, name: &str) -> String {
    let number = cluster.machines().position(|node| node.name == name).unwrap() + 1;
    let address = cluster.machines().find(|node| node.name == name).unwrap().internal;
    let endpoint = match cluster.endpoint {
        Endpoint::Vip { .. } => "vip=silent INCOMPLETE",
        _ => "endpoint=refused",
    };
    let paths = ["/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet", "/usr/local/bin"];
    let disks = paths.map(|path| format!("disk={path} 2049 4096 10485760 9437184\n")).concat();
    format!(
        "hostname={name}\nmachine_id=id-{number}\nproduct_uuid=UUID-{number}\n\
         link=lo 65536 00:00:00:00:00:00\nlink=eth0 1500 52:54:00:00:00:0{number}\n\
         kernel=6.1.0-18-amd64\ncpus=2\nmemory=2000000\nlocalhost=127.0.0.1\n{disks}{endpoint}\n\
         os=debian-12\nos_name=Debian GNU/Linux 12 (bookworm)\narch=x86_64\nlibc=glibc 2.36\n\
         init=systemd\nboot_id=boot-{number}\ncredentials=valid\ncgroup=cgroup2fs\naddress=eth0 {address}/24\n"
    )
}

/// When [`certificate`] ends, in seconds since the epoch: 2027-01-15.
const END: i64 = 1_800_000_000;

/// A fact about a certificate in that file.
fn certificate(file: &str) -> String {
    let pem = fs::read_to_string(root().join("certificate.pem")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    format!("certificate={file} {base64}")
}

/// The facts of a machine that prints `lines` instead of what a good one prints by the same keys.
/// `ahead=SECONDS` is about its clock, `identity=` the cluster whose CA it has, `lives=yes` that its
/// API and etcd answer, `lives=others` that they tell of more than the inventory has.
fn facts(cluster: &Cluster, name: &str, lines: &[String]) -> Facts {
    let key = |line: &str| line.split('=').next().unwrap().to_owned();
    let keys: Vec<String> = lines.iter().map(|line| key(line)).collect();
    let good = good(cluster, name);
    let good = good.lines().filter(|line| !keys.contains(&key(line))).map(str::to_owned);
    let value = |key: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(str::to_owned)
    };
    let ahead = value("ahead").map_or(0.0, |text| text.parse::<f64>().unwrap()) * SECOND;
    let clock = format!("clock={}", NOW + ahead as i64);
    let all: Vec<String> = good.chain(lines.iter().cloned()).chain([clock]).collect();
    let output = Output { stdout: all.join("\n").into_bytes(), ..Output::default() };
    let mut facts = Facts::parse(&output).unwrap();
    facts.machine.clock.heard(NOW - 50_000_000, NOW + 50_000_000);
    facts.identity =
        value("identity").map(|digit| format!("sha256:{}", digit.repeat(64)).parse().unwrap());
    if value("lives").is_some() {
        // w-4's machine is another one than the inventory's; w-9 and a learner are not in it.
        let others = value("lives").as_deref() == Some("others");
        let members = [
            ("cp-1", "10.77.0.11"),
            ("w-1", "10.77.0.21"),
            ("w-3", "10.77.0.23"),
            ("w-4", "10.77.0.99"),
            ("w-9", "10.77.0.29"),
        ];
        let members = members.into_iter().take(if others { 5 } else { 2 });
        let listed = |(name, address): (&str, &str)| {
            let control_plane = name.starts_with("cp");
            let internal = vec![address.to_owned()];
            let uid = "uid".to_owned();
            (name.to_owned(), Listed { uid, internal, control_plane, ..Listed::default() })
        };
        facts.api_nodes = Some(members.map(listed).collect());
        let member = |name: &str| {
            let address = cluster.machines().find(|node| node.name == name)?.internal;
            let peers = vec![format!("https://{address}:2380")];
            let name = name.to_owned();
            Some(EtcdMember { id: "a1".to_owned(), name, peers, learner: false })
        };
        let learner = EtcdMember {
            id: "b2".to_owned(),
            name: String::new(),
            peers: vec!["https://10.77.0.19:2380".to_owned()],
            learner: true,
        };
        let members = ["cp-1", "cp-3"].into_iter().filter_map(member);
        facts.etcd = Some(members.chain(others.then_some(learner)).collect());
        facts.configuration = Some(fs::read_to_string(root().join("configuration.yaml")).unwrap());
    }
    facts
}

fn judge(cluster: &Cluster, printed: &BTreeMap<String, Vec<String>>) -> Vec<Finding> {
    let none = Vec::new();
    let facts = cluster.machines().map(|node| {
        let lines = printed.get(&node.name).unwrap_or(&none);
        (node.name.clone(), facts(cluster, &node.name, lines))
    });
    let own = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let survey = Survey::new(cluster, Some(&own), facts.collect()).unwrap();
    let mut findings = preflight::findings(cluster, &survey, GLIBC);
    let synced = printed.iter().filter_map(|(name, lines)| {
        let times: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("synced=")).collect();
        let stdout = times.join("\n").into_bytes();
        preflight::synced(name, &Output { stdout, ..Output::default() })
    });
    findings.extend(synced);
    preflight::sort(&mut findings, cluster);
    findings
}

/// The findings about an inventory whose nodes' facts lie in a file.
fn findings_of(name: &str) -> Vec<Finding> {
    let text = fs::read_to_string(root().join(format!("{name}.facts"))).unwrap();
    let mut printed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut node = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => name.clone_into(&mut node),
            None => {
                // `certificate=FILE`: the one that lies beside.
                let line = line.strip_prefix("certificate=").map_or(line.to_owned(), certificate);
                printed.entry(node.clone()).or_default().push(line.replace("\\e", "\u{1b}"));
            }
        }
    }
    let mut cluster = cluster(name);
    let leaving = printed.remove("leaving").unwrap_or_default();
    cluster.take_out(&leaving, false);
    cluster.maintained = printed.remove("maintained").unwrap_or_default();
    judge(&cluster, &printed)
}

const CASES: &[&str] =
    &["bare", "outside", "living", "silent", "used", "aged", "leaving", "maintained"];

/// What `slipway preflight` prints, then how `slipway apply` refuses.
#[test]
fn fleets_and_what_is_said_of_them() {
    for name in CASES {
        let findings = findings_of(name);
        let refused = preflight::refuse(&findings).unwrap_err();
        let said = format!("{}\n\n{refused}\n", findings_text(&findings));
        let expected = snapbox::Data::read_from(&root().join(format!("{name}.txt")), None);
        snapbox::Assert::new().action_env("SNAPSHOTS").normalize_paths(false).eq(said, expected);
    }
}

#[test]
fn every_check_finds_something_in_a_fleet() {
    let found: BTreeSet<&str> =
        CASES.iter().flat_map(|name| findings_of(name)).map(|f| f.check).collect();
    let all: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(CHECKS.len(), all.len(), "names are distinct");
    assert_eq!(found, all);
}

#[test]
fn warnings_alone_refuse_nothing() {
    let warnings: Vec<Finding> = findings_of("bare")
        .into_iter()
        .filter(|f| f.severity == preflight::Severity::Warning)
        .collect();
    assert!(warnings.len() > 5);
    preflight::refuse(&warnings).unwrap();
}

/// `node check` of each finding where the nodes print these lines: `NODE KEY=VALUE`.
fn found(name: &str, lines: &[&str]) -> Vec<String> {
    let mut printed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let (node, line) = line.split_once(' ').unwrap();
        printed.entry(node.to_owned()).or_default().push(line.to_owned());
    }
    let findings = judge(&cluster(name), &printed);
    let words = |f: &Finding| format!("{} {}", f.node.as_deref().unwrap_or("cluster"), f.check);
    findings.iter().map(words).collect()
}

/// The lines that make a node a member.
fn member(node: &str) -> Vec<String> {
    let files: &[&str] = match node.starts_with("cp") {
        true => &[
            "pki/ca.crt",
            "kubelet.conf",
            "admin.conf",
            "manifests/kube-apiserver.yaml",
            "manifests/etcd.yaml",
            "etcd-data",
        ],
        false => &["pki/ca.crt", "kubelet.conf"],
    };
    let files = files.iter().map(|file| format!("{node} file={file}"));
    files.chain([format!("{node} identity=a")]).collect()
}

#[test]
fn good_machines_have_no_findings() {
    for name in ["bare", "outside"] {
        assert!(found(name, &[]).is_empty(), "{name}: {:?}", found(name, &[]));
    }
}

/// What a bare node prints, and what is found by it; around every limit.
#[test]
fn limits() {
    let table: &[(&[&str], &[&str])] = &[
        (&["cp-1 memory=1740800", "w-1 memory=1024"], &[]),
        (&["cp-1 memory=1740799"], &["cp-1 memory"]),
        (&["cp-1 cpus=2", "w-1 cpus=1"], &[]),
        (&["cp-1 cpus=1"], &["cp-1 processors"]),
        (&["cp-1 kernel=5.13.0", "cp-2 kernel=6.1", "cp-3 kernel=odd"], &[]),
        (&["w-1 kernel=5.12.99-x"], &["w-1 kernel"]),
        // 2624 MiB for all four together, 1472 on a worker.
        (&["cp-1 disk=/var/lib/containerd 1 1048576 99 1536"], &["cp-1 disk-pressure"]),
        (&["cp-1 disk=/var/lib/containerd 1 1048576 99 1535"], &["cp-1 disk-space"]),
        (&["w-1 disk=/var/lib/etcd 1 1048576 99 0"], &[]),
        (&["cp-1 disk=/var/lib/etcd 1 1048576 600 511"], &["cp-1 disk-space"]),
        (
            &[
                "w-1 disk=/var/lib/containerd 1 1048576 9999 1400",
                "w-1 disk=/usr/local/bin 1 1048576 9999 1400",
            ],
            &["w-1 disk-space"],
        ),
        (&["w-1 disk=/var/lib/kubelet 1 1048576 1000 164"], &[]),
        (&["w-1 disk=/var/lib/kubelet 1 1048576 1000 163"], &["w-1 disk-pressure"]),
        (&["w-1 localhost="], &["w-1 localhost"]),
        // What Calico leaves, what is read by nobody, what pods would get; before and by name.
        (&["w-1 cni=10-calico.conflist", "w-1 cni=calico-kubeconfig"], &[]),
        (&["w-1 cni=05-old.conflist"], &["w-1 pod-network"]),
        (
            &["w-1 cni=87-podman-bridge.conflist.bak", "w-1 cni=99-loopback.conf"],
            &["w-1 pod-network"],
        ),
        (&["cp-1 etcd_left=lost+found"], &[]),
        (&["cp-1 etcd_left=lost+found", "cp-1 etcd_left=snap.db"], &["cp-1 etcd-data"]),
        (&["w-1 etcd_left=snap.db"], &[]),
        (&["w-1 kubelet_left=/var/lib/kubelet/cpu_manager_state"], &["w-1 kubelet-data"]),
        (&["w-1 link=vxlan.calico 1450 00:00:00:00:00:09"], &[]),
        (
            &["w-1 link=eth0 1500 52:54:00:00:00:04", "w-1 link=cni0 1450 00:00:00:00:00:09"],
            &["w-1 pod-interfaces"],
        ),
        (&["cp-1 serves=/etc/haproxy/haproxy.cfg"], &["cp-1 already-serves"]),
        (&["w-1 serves=/etc/haproxy/haproxy.cfg"], &[]),
        (&["w-1 dpkg=x unpacked"], &["w-1 dpkg"]),
        (&["w-1 mount=/var/lib/dpkg /var noexec"], &["w-1 noexec"]),
        (&["w-1 mount=/var/lib/kubelet /var noexec", "w-1 mount=/etc /etc noexec"], &[]),
        (&["w-1 mount=/usr/local/bin /usr/local ro"], &["w-1 read-only"]),
        (&["w-1 forward=inet fw own"], &["w-1 forward"]),
        (&["w-1 name_server="], &["w-1 name-server"]),
        (&["w-1 name_server=192.0.2.53"], &[]),
        (&["w-1 other=Docker left /usr/bin/dockerd"], &[]),
        (&["w-1 product_uuid=", "w-2 product_uuid="], &[]),
        (&["w-1 machine_id=", "w-2 machine_id="], &[]),
        (&["w-1 hostname=debian", "w-2 hostname=debian"], &[]),
        (&["w-1 ahead=1.0"], &[]),
        (&["w-1 ahead=1.2"], &["w-1 clock"]),
        (&["w-1 ahead=-9000"], &["w-1 clock"]),
        (&["w-1 ahead=299", "w-1 chrony=running"], &["w-1 clock"]),
        (&["w-1 ahead=301", "w-1 chrony=running"], &["w-1 clock-stuck"]),
        // A port that another role needs, slipway's own haproxy, and somebody else's.
        (&["w-1 listen=0.0.0.0:6443 users:((\"x\",pid=1,fd=1))"], &[]),
        (&["cp-1 listen=10.77.0.100:6443 users:((\"haproxy\",pid=1,fd=1))"], &[]),
        (&["cp-1 listen=127.0.0.1:8405 users:((\"haproxy\",pid=1,fd=1))"], &[]),
        (&["cp-1 listen=0.0.0.0:6443 users:((\"haproxy\",pid=1,fd=1))"], &["cp-1 port"]),
        (&["cp-1 listen=10.77.0.100:6443 users:((\"nginx\",pid=1,fd=1))"], &["cp-1 port"]),
        (&["w-1 listen=[::]:10250"], &["w-1 port"]),
        // The virtual IP: held by a node of ours, only remembered, held by a stranger.
        (&["cp-1 vip=refused REACHABLE 52:54:00:00:00:02"], &[]),
        (&["cp-1 vip=silent STALE 52:54:00:00:00:99"], &[]),
        (&["cp-1 vip=silent FAILED"], &[]),
        (&["cp-1 vip=silent REACHABLE 52:54:00:00:00:99"], &["cp-1 virtual-ip-taken"]),
        (&["cp-1 vip=open DELAY 52:54:00:00:00:99"], &["cp-1 virtual-ip-taken"]),
        (
            &["cp-1 address=eth0 10.77.0.11/28", "cp-1 address=eth0 10.77.0.100/32"],
            &["cp-1 virtual-ip"],
        ),
        (&["w-1 address=eth0 10.77.0.21/32"], &[]),
        (&["w-1 silent=10.77.0.11 6443", "w-2 silent=10.77.0.11 10250"], &["cp-1 filtered"]),
        (&["w-1 silent=10.9.9.9 6443", "w-1 lost=10.9.9.9 1500"], &[]),
        (&["w-1 lost=10.77.0.22 1500"], &["w-1 path-mtu"]),
        (&["w-1 lost=10.77.0.22 1500", "w-2 link=eth0 1400 52:54:00:00:00:05"], &["cluster mtu"]),
        (&["w-1 synced=began", "w-1 synced=9"], &["w-1 slow-disk"]),
    ];
    for (printed, expected) in table {
        assert_eq!(found("bare", printed), *expected, "{printed:?}");
    }
}

/// The end of a certificate is a month away at most, by the node's own clock.
#[test]
fn limits_of_certificates() {
    let mut lines: Vec<String> = ["cp-1", "w-1"].into_iter().flat_map(member).collect();
    lines.push("cp-1 lives=yes".to_owned());
    let certificate = certificate("pki/apiserver.crt");
    let days = |days: i64| (END - NOW / 1_000_000_000 - days * 86_400).to_string();
    for (ahead, expected) in [
        (days(31), None),
        (days(29), Some("cp-1 certificates-end")),
        (days(0), Some("cp-1 certificates-ended")),
    ] {
        let mut lines = lines.clone();
        lines.extend([format!("cp-1 {certificate}"), format!("cp-1 ahead={ahead}")]);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = found("pair", &lines);
        let about = found.iter().find(|one| one.contains("certificates"));
        assert_eq!(about.map(String::as_str), expected, "{found:?}");
    }
}

#[test]
fn limits_of_an_external_endpoint() {
    let table: &[(&[&str], &[&str])] = &[
        (&["cp-1 endpoint=open", "w-1 endpoint=refused"], &[]),
        (&["w-1 endpoint=silent"], &["w-1 endpoint"]),
        (&["w-1 endpoint=unresolved"], &["w-1 endpoint-name"]),
        (&["w-1 endpoint=open", "w-1 endpoint_api=yes"], &[]),
        (&["cp-1 endpoint=open", "cp-1 endpoint_api=yes"], &["cp-1 endpoint-taken"]),
    ];
    for (printed, expected) in table {
        assert_eq!(found("outside", printed), *expected, "{printed:?}");
    }
}

/// What works is left alone: on members nothing is found of what only matters before.
#[test]
fn members_are_past_most_checks() {
    let mut lines: Vec<String> = ["cp-1", "w-1"].into_iter().flat_map(member).collect();
    lines.push("cp-1 lives=yes".to_owned());
    for node in ["cp-1", "w-1"] {
        for line in [
            "memory=1",
            "cgroup=tmpfs",
            "machine_id=same",
            "link=eth0 9000 52:54:00:00:00:01",
            "kernel=4.19",
        ] {
            lines.push(format!("{node} {line}"));
        }
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(found("pair", &lines), Vec::<String>::new());
}

proptest! {
    /// Whatever nodes print: no panic, and nothing that a terminal would obey.
    #[test]
    fn hostile_machines_are_judged_and_shown(
        lines in prop::collection::vec(
            "(clock|hostname|machine_id|link|chrony|kernel|cpus|memory|localhost|disk|other|package|listen|\
              dpkg|etcd_left|kubelet_left|serves|mount|name_server|certificate|\
              silent|lost|vip|endpoint|synced|address|os_name|arch|cni)=[ -~\u{1b}\u{202e}é/.:0-9]{0,40}",
            0..30,
        )
    ) {
        let printed = BTreeMap::from([("cp-1".to_owned(), lines)]);
        for name in ["bare", "outside"] {
            let text = findings_text(&judge(&cluster(name), &printed));
            prop_assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        }
    }
}

/// The table is generated; `make bless` writes it anew.
#[test]
fn the_documentation_has_every_check() {
    let (begin, end) = ("<!-- checks: generated -->\n", "<!-- checks: end -->\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/preflight.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let rows = CHECKS.iter().map(|check| {
        let (name, severity) = (check.name, check.severity.name());
        format!("| `{name}` | {severity} | {} | {} | {} |\n", check.of, check.about, check.todo)
    });
    let table: String = rows.collect();
    let head = "| Check | Weight | Nodes | What it finds | What to do |\n|---|---|---|---|---|\n";
    let expected = format!("{before}{begin}{head}{table}{end}{after}");
    if std::env::var_os("SNAPSHOTS").is_some_and(|action| action == "overwrite") {
        fs::write(&file, expected).unwrap();
    } else {
        assert_eq!(text, expected);
    }
}
