//! What one bad worker, or somebody who has seen a token, tries on a living cluster.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::lab_cluster::{INVENTORY, LabCluster};
use super::running::Running;
use super::support::{CHANGES, eventually, pause, run, secs};
use super::{Case, Start};

pub const CASES: &[Case] = &[
    Case {
        name: "forged VRRP",
        fault: "a worker sends VRRP advertisements of priority 255 to the control planes for 5 s, by its own address, then by a control plane's",
        answer: "the virtual IP stays where it is, and the API answers there all the time; without slipway's table it would not, and the next apply sees that and loads it",
        often: false,
        start: Start::Whole,
        run: forged_vrrp,
    },
    Case {
        name: "stolen bootstrap token",
        fault: "while a worker joins, somebody who has seen the token asks to become cp-1, and a node of another name; later a run is killed while its token is good",
        answer: "approves the joining worker alone; the token is worth nothing when the run ends, or the next one after a kill; it is in no log",
        often: false,
        start: Start::Whole,
        run: stolen_token,
    },
];

/// How long an attacker is at it.
const ATTACK: u64 = 5;

/// The control planes that hold the virtual IP.
pub fn holders(cluster: &LabCluster, vip: &str) -> Vec<String> {
    let planes: Vec<&str> = cluster.lab.control_planes().map(|node| node.name.as_str()).collect();
    let seen = cluster.lab.on_all(&planes, &format!("ip -o -4 addr show to {vip}; :"), "");
    let held = planes.iter().zip(seen).filter(|(_, seen)| !seen.trim().is_empty());
    held.map(|(name, _)| (*name).to_owned()).collect()
}

/// Attacks every control plane from `w-1`, by its own address or by another control plane's, which is the
/// worse: all of them yield, and none takes over. Gives how often the API at the virtual IP was asked
/// meanwhile, and how often in vain.
fn attack(cluster: &LabCluster, vip: &str, forged: bool) -> (usize, usize) {
    let router = "awk '/virtual_router_id/ { print $2 }' /etc/keepalived/keepalived.conf";
    let router = cluster.lab.on("cp-1", router);
    let own = &cluster.lab.nodes.iter().find(|node| node.name == "w-1").unwrap().address;
    let planes: Vec<&str> =
        cluster.lab.control_planes().map(|node| node.address.as_str()).collect();
    let others = planes.iter().copied().cycle().skip(1);
    let ways = planes.iter().zip(others).map(|(to, other)| {
        let from = if forged { other } else { own.as_str() };
        format!("{from},{to}")
    });
    let ways = ways.collect::<Vec<_>>().join(" ");
    let send = format!("perl - {ATTACK} {} {vip} {ways}", router.trim());
    std::thread::scope(|scope| {
        let lab = &cluster.lab.name;
        let attacker = scope.spawn(move || {
            let args = ["lab", "ssh", "--name", lab, "w-1", "--", &send];
            run(env!("CARGO_BIN_EXE_slipway"), &args, include_str!("vrrp.pl"))
        });
        let (mut asked, mut failed) = (0, 0);
        let url = format!("https://{vip}:6443/livez");
        while !attacker.is_finished() {
            asked += 1;
            let curl = ["-ksf", "-o", "/dev/null", "--max-time", "1", &url];
            failed += usize::from(run("curl", &curl, "").code != 0);
            pause(Duration::from_millis(100));
        }
        let sent = attacker.join().unwrap().ok("the attack");
        assert!(sent.trim().parse::<usize>().unwrap() > 100, "{sent} advertisements were sent");
        (asked, failed)
    })
}

fn forged_vrrp(cluster: &LabCluster) -> String {
    let vip = cluster.lab.address(100);
    let before = holders(cluster, &vip);
    assert_eq!(before.len(), 1, "{before:?} hold the virtual IP");
    let mut told = Vec::new();
    for (whose, forged) in [("its own address", false), ("control planes' addresses", true)] {
        let (asked, failed) = attack(cluster, &vip, forged);
        assert_eq!(failed, 0, "by {whose}, {failed} of {asked} requests failed");
        assert_eq!(holders(cluster, &vip), before, "by {whose}");
        told.push(format!("by {whose} 0 of {asked} requests failed"));
    }
    // That the attack is one: without the table it works.
    for node in cluster.lab.control_planes() {
        cluster.lab.on(&node.name, "nft delete table ip slipway_vrrp");
    }
    let (asked, failed) = attack(cluster, &vip, true);
    assert!(failed > asked / 4, "without the table, {failed} of {asked} requests failed");
    told.push(format!("without the table {failed} of {asked}"));
    eventually("the API is back", secs(30), || {
        let url = format!("https://{vip}:6443/livez");
        run("curl", &["-ksf", "--max-time", "1", &url], "").tried()
    });
    let plan = cluster.lab.plan(INVENTORY).ran.both();
    assert!(plan.contains("packet filter slipway_vrrp"), "{plan}");
    cluster.apply_whole("an apply after the table was deleted");
    let (_, failed) = attack(cluster, &vip, true);
    assert_eq!(failed, 0, "with the table again");
    // Whoever loads rules of his own loads these again.
    let own = "cp /etc/nftables.conf /run/own.conf; echo 'table inet own { }' >/etc/nftables.conf; \
        systemctl start nftables && nft delete table ip slipway_vrrp && systemctl reload nftables; \
        timeout 10 sh -c 'until nft list table ip slipway_vrrp; do sleep 0.2; done' >/dev/null 2>&1; \
        nft list tables; nft delete table inet own; mv /run/own.conf /etc/nftables.conf";
    let tables = cluster.lab.on("cp-2", own);
    assert!(tables.contains("ip slipway_vrrp") && tables.contains("inet own"), "{tables}");
    cluster.apply_whole("an apply after an operator's own rules");
    told.join(", ")
}

/// The bootstrap token that is good now, as its Secret says it.
fn token(cluster: &LabCluster) -> Option<String> {
    let kind = "type=bootstrap.kubernetes.io/token";
    let found = cluster.kube().objects(&["-n", "kube-system", "secrets", "--field-selector", kind]);
    let found: Vec<Value> = found.unwrap();
    let data = &found.first()?["data"];
    let part =
        |key: &str| String::from_utf8(BASE64.decode(data[key].as_str().unwrap()).unwrap()).unwrap();
    Some(format!("{}.{}", part("token-id"), part("token-secret")))
}

/// Asks by `token` to become `node`; gives the request's name.
fn ask(cluster: &LabCluster, token: &str, node: &str) -> String {
    let name = format!("mallory-{node}-{}", &token[..6]);
    let at = |file: &str| cluster.lab.file(file).display().to_string();
    let (key, csr) = (at("mallory.key"), at("mallory.csr"));
    let subject = format!("/O=system:nodes/CN=system:node:{node}");
    let args =
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let more = ["-subj", &subject, "-keyout", &key, "-out", &csr];
    run("openssl", &[&args[..], &more].concat(), "").ok("openssl req");
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": BASE64.encode(std::fs::read(&csr).unwrap()),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    });
    with_token(cluster, token, &["create", "-f", "-"], &object.to_string())
        .ok("a request by token");
    name
}

/// kubectl with that token alone.
fn with_token(
    cluster: &LabCluster,
    token: &str,
    args: &[&str],
    input: &str,
) -> super::support::Ran {
    let kubeconfig = cluster.lab.file("mallory.conf").display().to_string();
    let ca = cluster.lab.state().join("pki/ca.crt").display().to_string();
    let server = format!("https://{}:6443", cluster.lab.address(100));
    std::fs::write(&kubeconfig, "apiVersion: v1\nkind: Config\n").unwrap();
    let own = ["--kubeconfig", &kubeconfig, "--server", &server, "--certificate-authority", &ca];
    // The last kubeconfig that is named counts.
    cluster.kube().run_with(&[&own[..], &["--token", token], args].concat(), input)
}

/// Conditions of a request, and whether it has a certificate.
fn answer(cluster: &LabCluster, request: &str) -> (Vec<String>, bool) {
    let text = cluster.kube().get(&["get", "csr", request, "-o", "json"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let kinds = conditions.iter().map(|c| c["type"].as_str().unwrap().to_owned()).collect();
    (kinds, found["status"]["certificate"].is_string())
}

fn stolen_token(cluster: &LabCluster) -> String {
    const UNANSWERED: (Vec<String>, bool) = (Vec::new(), false);
    cluster.reinstall("w-1");
    let mut running = Running::start(cluster);
    assert!(running.until("w-1", "kubeadm join"), "w-1 does not join");
    let Some(seen) = token(cluster) else { panic!("no token while w-1 joins") };
    let asked = [ask(cluster, &seen, "cp-1"), ask(cluster, &seen, "w-9")];
    let (code, said) = running.end();
    assert_eq!(code, 0, "{said}");
    let began = Instant::now();
    assert_eq!(token(cluster), None, "a token is left");
    eventually("the token is worth nothing", secs(30), || {
        let ran = with_token(cluster, &seen, &["get", "csr"], "");
        let refused = ["Unauthorized", "provide credentials"];
        if refused.iter().any(|word| ran.stderr.contains(word)) { Ok(()) } else { Err(ran.both()) }
    });
    let dead = began.elapsed();
    for request in &asked {
        assert_eq!(answer(cluster, request), UNANSWERED, "{request}");
    }
    let log = cluster.lab.on(
        "cp-1",
        "journalctl -u slipway-approver --no-pager -o cat | grep 'not approved: mallory'",
    );
    assert!(log.contains("`cp-1` is not joining now"), "{log}");
    assert!(log.contains("`w-9` is not in the table"), "{log}");
    cluster.apply_whole("an apply after a stolen token");

    // A run that is killed leaves its token; the next one takes it away.
    cluster.reinstall("w-1");
    let mut running = Running::start(cluster);
    assert!(running.until("w-1", "kubeadm join"), "w-1 does not join");
    running.kill();
    let Some(left) = token(cluster) else { panic!("a killed run leaves its token") };
    assert_eq!(cluster.lab.save_plan(INVENTORY, "plan.json").ran.code, CHANGES);
    cluster.apply_whole("an apply after a kill");
    assert_eq!(token(cluster), None, "the killed run's token is left");
    let secrets = format!("{}\n{}\n", &seen[7..], &left[7..]);
    let found = cluster.lab.on_all(
        &cluster.lab.names(),
        "umask 077; cat >/run/e2e-tokens; grep -rlaF -f /run/e2e-tokens /run/slipway /etc/kubernetes /etc/slipway \
         /var/log /tmp 2>/dev/null; rm /run/e2e-tokens; [ ! -d /run/slipway ] || find /run/slipway -type f -perm /077",
        &secrets,
    );
    assert!(found.iter().all(String::is_empty), "{found:?}");

    // That the attack is one: with kubeadm's binding it works. The next apply removes that.
    let binding = "kubeadm:node-autoapprove-bootstrap";
    let role = "--clusterrole=system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    let group = "--group=system:bootstrappers:kubeadm:default-node-token";
    let kube = cluster.kube();
    kube.get(&["create", "clusterrolebinding", binding, role, group]);
    let own = "kubeadm --kubeconfig /etc/kubernetes/admin.conf token create --ttl 5m";
    let own = cluster.lab.on("cp-1", own).trim().to_owned();
    let request = ask(cluster, &own, "cp-1");
    eventually("Kubernetes itself approves", secs(30), || match answer(cluster, &request) {
        (kinds, true) if kinds == ["Approved"] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let plan = cluster.lab.plan(INVENTORY).ran.both();
    assert!(plan.contains(binding), "{plan}");
    cluster.apply_whole("an apply that finds kubeadm's binding");
    assert_eq!(answer(cluster, &ask(cluster, &own, "cp-2")), UNANSWERED);
    pause(secs(5));
    assert_eq!(answer(cluster, &format!("mallory-cp-2-{}", &own[..6])), UNANSWERED);
    // An operator's own token stays his.
    assert_eq!(token(cluster), Some(own.clone()));
    cluster.lab.on(
        "cp-1",
        &format!("kubeadm --kubeconfig /etc/kubernetes/admin.conf token delete {}", &own[..6]),
    );
    kube.get(&["delete", "csr", "--all"]);
    format!("the token was worth nothing {} s after the run", dead.as_secs())
}
