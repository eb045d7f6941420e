//! Packet filters that keep pods' packets from passing a node.

use super::finding::{ALL, Check, Finding, Severity};
use crate::diagnostic::printable;
use crate::survey::Survey;

pub(super) const FORWARD: Check = Check {
    name: "forward",
    severity: Severity::Warning,
    of: ALL,
    about: "A chain of nftables drops what the node forwards, unless one of its own rules accepts it. \
            Calico's and kube-proxy's rules cannot help: a packet must pass every table. Pods on this \
            node would reach neither pods elsewhere nor the cluster's DNS.",
    todo: "let that chain accept what comes from and goes to the pod network, or remove its table",
};

pub(super) fn findings(survey: &Survey) -> Vec<Finding> {
    let chains = survey.nodes.iter().flat_map(|(name, surveyed)| {
        surveyed.facts.machine.forward_drops.iter().map(move |chain| (name, chain))
    });
    chains
        .filter_map(|(name, chain)| {
            let (table, chain) = chain.rsplit_once(' ')?;
            let (table, chain) = (printable(table), printable(chain));
            let what = format!("chain {chain} of nftables' table {table} drops what it forwards");
            Some(FORWARD.on(name, what))
        })
        .collect()
}
