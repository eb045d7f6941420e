//! Bare nodes: what must stop a run before its first change.

use std::fs;

use super::lab::Lab;
use super::{CONNECTION, PREFLIGHT, run, snapshot};

const INVENTORY: &str = "slipway.yaml";

/// A plan, and runs that are refused, leave bare nodes as they were.
pub fn nothing_changes(lab: &Lab) {
    snapshot::prepare(lab);
    let all = lab.names();
    let before = snapshot::whole(lab, &all[..1]);
    lab.on(all[0], "touch /var/lib/e2e");
    let bare = snapshot::whole(lab, &all);
    assert_ne!(before[all[0]], bare[all[0]], "snapshots do not see a new file");
    let plan = lab.plan(INVENTORY);
    assert_eq!(plan.ran.code, 0, "plan on bare nodes:\n{}", plan.ran.both());
    for node in &all {
        assert!(plan.ran.stdout.contains(node), "the plan says nothing of {node}");
    }
    lab.assert_no_state();
    snapshot::assert_same(&bare, &snapshot::whole(lab, &all), "plan");

    wrong_host_key(lab);
    unknown_host_key(lab);
    unreachable(lab);
    snapshot::assert_same(&bare, &snapshot::whole(lab, &all), "a refused apply");

    foreign_authority(lab);
    silent_control_plane(lab);
    lab.assert_no_state();
}

/// Somebody else answers at a node's address.
fn wrong_host_key(lab: &Lab) {
    let hosts = fs::read_to_string(lab.file("known_hosts")).unwrap();
    let mut keys: Vec<(&str, &str)> =
        hosts.lines().map(|line| line.split_once(' ').unwrap()).collect();
    keys[1].1 = keys[0].1;
    let text: String = keys.iter().map(|(host, key)| format!("{host} {key}\n")).collect();
    fs::write(lab.file("wrong_hosts"), text).unwrap();
    lab.variant("wrong.yaml", "knownHosts: known_hosts", "knownHosts: wrong_hosts");
    let node = &lab.nodes[1];
    lab.apply("wrong.yaml").assert_refused(
        CONNECTION,
        &[&node.name, &node.address, "host key"],
        "another host key than the known one",
    );
}

/// Nobody is there to be asked about a host key.
fn unknown_host_key(lab: &Lab) {
    let known = lab.file("no_hosts");
    fs::write(&known, "").unwrap();
    lab.variant("unknown.yaml", "knownHosts: known_hosts", "knownHosts: no_hosts");
    let refused = lab.apply("unknown.yaml");
    refused.assert_refused(CONNECTION, &["host key", "unknown"], "unknown host keys");
    assert_eq!(fs::read_to_string(known).unwrap(), "", "a key was trusted that nobody accepted");
}

fn unreachable(lab: &Lab) {
    let nowhere = lab.address(98);
    lab.variant(
        "unreachable.yaml",
        "  nodes:\n",
        &format!("  nodes:\n    - {{name: w-9, role: worker, address: {nowhere}}}\n"),
    );
    lab.apply("unreachable.yaml").assert_refused(
        CONNECTION,
        &["w-9", &nowhere],
        "a node that cannot be reached",
    );
}

/// A node that carries another cluster's CA is not taken over.
fn foreign_authority(lab: &Lab) {
    let last = lab.control_planes().last().unwrap().name.clone();
    let certificate = authority(lab, "other");
    let put = "mkdir -p /etc/kubernetes/pki && cat >/etc/kubernetes/pki/ca.crt";
    lab.on_with(&last, put, &certificate);
    let all = lab.names();
    let before = snapshot::whole(lab, &all);
    for run in [lab.plan(INVENTORY), lab.apply(INVENTORY)] {
        run.assert_refused(PREFLIGHT, &["cluster"], "another cluster's CA on a bare node");
    }
    snapshot::assert_same(&before, &snapshot::whole(lab, &all), "a run that found a foreign CA");
    lab.on(&last, "rm -r /etc/kubernetes");
}

/// Without an answer from every control plane, no cluster is begun.
fn silent_control_plane(lab: &Lab) {
    let silent = lab.control_planes().nth(1).unwrap();
    let others: Vec<&str> = lab.names().into_iter().filter(|name| *name != silent.name).collect();
    let before = snapshot::whole(lab, &others);
    lab.lab("kill", &[&silent.name]);
    lab.apply(INVENTORY).assert_refused(
        CONNECTION,
        &[&silent.name],
        "a control plane of a new cluster that does not answer",
    );
    snapshot::assert_same(
        &before,
        &snapshot::whole(lab, &others),
        "an apply with a silent control plane",
    );
    lab.lab("start", &[&silent.name]);
}

/// Makes a CA with openssl, `NAME.key` and `NAME.crt` beside the inventory; gives the certificate.
pub fn authority(lab: &Lab, name: &str) -> String {
    let (key, crt) = (lab.file(&format!("{name}.key")), lab.file(&format!("{name}.crt")));
    let (key, at) = (key.display().to_string(), crt.display().to_string());
    let args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=kubernetes",
        "-keyout",
        &key,
        "-out",
        &at,
    ];
    run("openssl", &args, "").ok("openssl req");
    fs::read_to_string(crt).unwrap()
}
