//! Ordinary edits of a healthy cluster's inventory, each planned and applied: nothing that lives may be
//! undone, whatever the file says. The simulation makes all of them, too; so `make test` makes on the lab only
//! those of a control plane's address and line.

use std::fs;

use super::lab_cluster::{INVENTORY, LabCluster};
use super::support::PREFLIGHT;
use super::support::lab::{Lab, Run};
use super::{Case, Start};

pub const CASES: &[Case] = &[
    edit(
        "edit: internal addresses",
        "the control planes' second addresses become their `internalAddress`",
        "refuses: each is a member at another address",
        |cluster| {
            let words = ["this machine is a member at https://", "cp-1", "cp-2", "cp-3"];
            let lab = &cluster.lab;
            second_addresses(lab, "add");
            let told = refused(cluster, moved, &words);
            second_addresses(lab, "del");
            told
        },
    )
    .often(),
    edit(
        "edit: another name",
        "a control plane gets another name",
        "refuses, and says which node of the cluster that machine is",
        |cluster| {
            let words =
                ["cpx-2", "this machine is node cp-2 of this cluster", "inventory says cpx-2"];
            refused(cluster, |_, text| text.replace("name: cp-2,", "name: cpx-2,"), &words)
        },
    ),
    edit(
        "edit: a control plane as worker",
        "a control plane's role becomes worker",
        "refuses: it is a control plane of this cluster",
        |cluster| {
            let words = ["cp-3", "a control plane of this cluster", "inventory says worker"];
            let edit = |_: &Lab, text: &str| {
                text.replace("cp-3, role: control-plane", "cp-3, role: worker")
            };
            refused(cluster, edit, &words)
        },
    ),
    edit(
        "edit: workers as control planes",
        "all workers' role becomes control-plane",
        "refuses: they are workers of this cluster",
        |cluster| {
            let words = ["w-1", "w-2", "a worker of this cluster", "inventory says control-plane"];
            refused(cluster, |_, text| text.replace("role: worker", "role: control-plane"), &words)
        },
    ),
    edit(
        "edit: a control plane's line deleted",
        "a control plane is no longer in the list",
        "says that it is in the cluster and not in the inventory; it keeps its place",
        |cluster| {
            let words =
                ["cp-3 at ", "a control plane, which votes in etcd, and not in the inventory"];
            nothing(cluster, |_, text| without(text, "cp-3"), &words)
        },
    )
    .often(),
    edit(
        "edit: a worker's line deleted",
        "a worker is no longer in the list",
        "says that it is in the cluster and not in the inventory; it keeps its place",
        |cluster| {
            let words = ["w-2 at ", "is a worker, and not in the inventory"];
            nothing(cluster, |_, text| without(text, "w-2"), &words)
        },
    ),
    edit(
        "edit: names swapped",
        "a control plane and a worker swap their names",
        "refuses, and says who each is",
        |cluster| {
            let swap = |_: &Lab, text: &str| {
                let text = text.replace("name: cp-1,", "name: other,");
                text.replace("name: w-1,", "name: cp-1,").replace("name: other,", "name: w-1,")
            };
            let words =
                ["this machine is node cp-1 of this cluster", "this machine is node w-1 of"];
            refused(cluster, swap, &words)
        },
    ),
    edit("edit: another order", "the list is in another order", "has nothing to do", |cluster| {
        let reversed = |_: &Lab, text: &str| {
            let (nodes, rest): (Vec<&str>, Vec<&str>) =
                text.lines().partition(|line| line.contains("- {name:"));
            let lines = rest.into_iter().chain(nodes.into_iter().rev());
            lines.map(|line| format!("{line}\n")).collect()
        };
        nothing(cluster, reversed, &[])
    }),
];

const fn edit(
    name: &'static str,
    fault: &'static str,
    answer: &'static str,
    run: fn(&LabCluster) -> String,
) -> Case {
    Case { name, fault, answer, often: false, start: Start::Whole, run }
}

const VARIANT: &str = "edited.yaml";

/// Plans and applies the edited inventory; the cluster's members stay who they are, and what the
/// inventory said before is still true.
fn tried(
    cluster: &LabCluster,
    edit: impl Fn(&Lab, &str) -> String,
    judge: impl Fn(&Run),
) -> String {
    let lab = &cluster.lab;
    let before = members(cluster);
    let text = fs::read_to_string(lab.file(INVENTORY)).unwrap();
    let edited = edit(lab, &text);
    assert_ne!(edited, text, "nothing was edited");
    fs::write(lab.file(VARIANT), edited).unwrap();
    for run in [lab.plan(VARIANT), lab.apply(VARIANT)] {
        judge(&run);
        assert_eq!(members(cluster), before);
    }
    lab.apply(INVENTORY).assert_nothing_to_do("the inventory as it was");
    String::new()
}

fn refused(cluster: &LabCluster, edit: impl Fn(&Lab, &str) -> String, words: &[&str]) -> String {
    tried(cluster, edit, |run| run.assert_refused(PREFLIGHT, words, "the edited inventory"))
}

/// There is nothing to do, and `words` are said.
fn nothing(cluster: &LabCluster, edit: impl Fn(&Lab, &str) -> String, words: &[&str]) -> String {
    tried(cluster, edit, |run| {
        run.assert_nothing_to_do("the edited inventory");
        let said = run.ran.both();
        for words in words {
            assert!(said.contains(words), "not said: {words}\n{said}");
        }
    })
}

fn without(text: &str, node: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains(&format!("name: {node},")));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Each control plane's second address, `add`ed to its interface or `del`eted.
fn second_addresses(lab: &Lab, verb: &str) {
    for (node, number) in lab.control_planes().zip(1..) {
        let second = lab.address(200 + number);
        lab.on(&node.name, &format!("ip addr {verb} {second}/24 dev host0"));
    }
}

/// The inventory with those as internal addresses.
fn moved(lab: &Lab, text: &str) -> String {
    let line = |line: &str| {
        let of = |name: &str| line.contains(&format!("name: {name},"));
        let number = lab.control_planes().zip(1..).find(|(node, _)| of(&node.name));
        match (number, line.trim_end().strip_suffix('}')) {
            (Some((_, number)), Some(start)) => {
                format!("{start}, internalAddress: {}}}\n", lab.address(200 + number))
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

/// Who is in the cluster: etcd's member ids, Nodes' UIDs, and each machine's boot.
fn members(cluster: &LabCluster) -> String {
    let columns =
        "custom-columns=NAME:.metadata.name,UID:.metadata.uid,BOOT:.status.nodeInfo.bootID";
    let nodes = cluster.kube().get(&["get", "nodes", "-o", columns]);
    let list = "p=/etc/kubernetes/pki/etcd; etcdctl --endpoints=https://127.0.0.1:2379 --cacert=$p/ca.crt \
        --cert=$p/healthcheck-client.crt --key=$p/healthcheck-client.key member list | sort";
    format!("{nodes}\n{}", cluster.lab.on("cp-1", list))
}
