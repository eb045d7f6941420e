//! Ordinary edits of a healthy cluster's inventory, each planned and applied: nothing that lives may be
//! undone, whatever the file says.

use std::fs;

use super::kube::Kube;
use super::lab::Lab;
use super::{PREFLIGHT, figure};

const VARIANT: &str = "edited.yaml";

/// An edit, and what is said of it.
struct Edit {
    what: &'static str,
    make: fn(&Lab, &str) -> String,
    /// Words of the refusal; empty: it is no change.
    refused: &'static [&'static str],
    /// Words of the plan's warning.
    warned: &'static [&'static str],
}

const EDITS: &[Edit] = &[
    Edit {
        what: "second addresses as internal addresses of the control planes",
        make: |lab, text| {
            let second = |line: &str| match control_plane(lab, line) {
                Some(last) => {
                    line.replace('}', &format!(", internalAddress: {}}}", lab.address(200 + last)))
                }
                None => line.to_owned(),
            };
            text.lines().map(|line| second(line) + "\n").collect()
        },
        refused: &["this machine is a member at https://", "cp-1", "cp-2", "cp-3"],
        warned: &[],
    },
    Edit {
        what: "another name of a control plane",
        make: |_, text| text.replace("name: cp-2,", "name: cpx-2,"),
        refused: &["cpx-2", "this machine is node cp-2 of this cluster", "inventory says cpx-2"],
        warned: &[],
    },
    Edit {
        what: "a control plane as worker",
        make: |_, text| text.replace("cp-3, role: control-plane", "cp-3, role: worker"),
        refused: &["cp-3", "a control plane of this cluster", "inventory says worker"],
        warned: &[],
    },
    Edit {
        what: "workers as control planes",
        make: |_, text| text.replace("role: worker", "role: control-plane"),
        refused: &["w-1", "w-2", "a worker of this cluster", "inventory says control-plane"],
        warned: &[],
    },
    Edit {
        what: "a control plane deleted from the list",
        make: |_, text| without(text, "cp-3"),
        refused: &[],
        warned: &["cp-3 at ", "a control plane, which votes in etcd, and not in the inventory"],
    },
    Edit {
        what: "a worker deleted from the list",
        make: |_, text| without(text, "w-2"),
        refused: &[],
        warned: &["w-2 at ", "is a worker, and not in the inventory"],
    },
    Edit {
        what: "two nodes' names swapped",
        make: |_, text| {
            let text =
                text.replace("name: cp-1,", "name: other,").replace("name: w-1,", "name: cp-1,");
            text.replace("name: other,", "name: w-1,")
        },
        refused: &["this machine is node cp-1 of this cluster", "this machine is node w-1 of"],
        warned: &[],
    },
    Edit {
        what: "another order of the list",
        make: |_, text| {
            let (nodes, rest): (Vec<&str>, Vec<&str>) =
                text.lines().partition(|line| line.contains("- {name:"));
            let lines = rest.into_iter().chain(nodes.into_iter().rev());
            lines.map(|line| format!("{line}\n")).collect()
        },
        refused: &[],
        warned: &[],
    },
];

/// The number of the control plane in a line of the inventory's nodes.
fn control_plane(lab: &Lab, line: &str) -> Option<u8> {
    let of = |name: &str| line.contains(&format!("name: {name},"));
    let position = lab.control_planes().position(|node| of(&node.name))?;
    u8::try_from(position + 1).ok()
}

fn without(text: &str, node: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains(&format!("name: {node},")));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Plans and applies every edit; the cluster's members stay who they are.
pub fn undo_nothing_that_lives(lab: &Lab, kube: &Kube) {
    for (node, number) in lab.control_planes().zip(1..) {
        let second = lab.address(200 + number);
        lab.on(&node.name, &format!("ip addr add {second}/24 dev host0"));
    }
    let before = members(lab, kube);
    let text = fs::read_to_string(lab.file("slipway.yaml")).unwrap();
    for Edit { what, make, refused, warned } in EDITS {
        let edited = make(lab, &text);
        assert_ne!(edited, text, "{what}");
        fs::write(lab.file(VARIANT), edited).unwrap();
        for run in [lab.plan(VARIANT), lab.apply(VARIANT)] {
            if refused.is_empty() {
                run.assert_nothing_to_do(what);
                let said = format!("{}\n{}", run.ran.stdout, run.ran.stderr);
                for words in *warned {
                    assert!(said.contains(words), "{what}: not said: {words}\n{said}");
                }
            } else {
                run.assert_refused(PREFLIGHT, refused, what);
            }
        }
        assert_eq!(members(lab, kube), before, "{what}");
    }
    fs::remove_file(lab.file(VARIANT)).unwrap();
    for (node, number) in lab.control_planes().zip(1..) {
        let second = lab.address(200 + number);
        lab.on(&node.name, &format!("ip addr del {second}/24 dev host0"));
    }
    lab.apply("slipway.yaml").assert_nothing_to_do("the inventory as it was");
    figure(&format!("{}: edits that undid nothing", lab.name), EDITS.len());
}

/// Who is in the cluster: etcd's member ids, Nodes' UIDs, and each machine's boot.
fn members(lab: &Lab, kube: &Kube) -> String {
    let columns =
        "custom-columns=NAME:.metadata.name,UID:.metadata.uid,BOOT:.status.nodeInfo.bootID";
    let nodes = kube.get(&["get", "nodes", "-o", columns]);
    let list = "set -- --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key
        etcdctl --endpoints=https://127.0.0.1:2379 \"$@\" member list | sort";
    format!("{nodes}\n{}", lab.on("cp-1", list))
}
