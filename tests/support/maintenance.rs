//! A person keeps pods away from a node, to work at its machine.

use super::PREFLIGHT;
use super::kube::Kube;
use super::lab::{Lab, Run};
use super::{figure, shown};

const INVENTORY: &str = "slipway.yaml";
const NODE: &str = "w-1";

/// Pods of a node that are drained: not those of DaemonSets, which come to each node.
fn pods(kube: &Kube) -> Vec<String> {
    let on = format!("--field-selector=spec.nodeName={NODE}");
    let pods = kube.objects(&["pods", "--all-namespaces", &on]).unwrap();
    let drained =
        pods.iter().filter(|pod| pod["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet");
    drained.map(|pod| super::kube::name(pod).to_owned()).collect()
}

/// It is drained, left alone by an apply, and takes pods again.
pub fn a_node_is_drained_and_takes_pods_again(lab: &Lab, kube: &Kube) {
    let well = |run: Run, what: &str| {
        assert_eq!(run.ran.code, 0, "{what}:\n{}", run.ran.both());
        run
    };
    let cordoned = || kube.get(&["get", "node", NODE, "-o", "jsonpath={.spec.unschedulable}"]);
    let nobody = lab.node("drain", &[NODE, "w-9"]);
    nobody.assert_refused(PREFLIGHT, &["w-9 is no node of the cluster"], "nobody's name");
    assert_eq!(cordoned(), "");

    let run = well(lab.node("drain", &[NODE]), "node drain");
    figure(&format!("{}: a worker was drained", lab.name), shown(run.took));
    assert_eq!((cordoned().as_str(), pods(kube)), ("true", Vec::new()));
    lab.apply(INVENTORY).assert_nothing_to_do("an apply while a node is drained");
    lab.node("cordon", &[NODE]).assert_nothing_to_do("what is cordoned already");

    well(lab.node("uncordon", &[NODE]), "node uncordon");
    assert_eq!(cordoned(), "");
    lab.node("uncordon", &[NODE]).assert_nothing_to_do("what takes pods already");
}
