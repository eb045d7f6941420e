//! What must differ between machines: clones, and machines that were taken for another.

use std::collections::BTreeMap;

use super::finding::{Check, Finding, JOINING, Severity};
use super::{carrier, joining, list};
use crate::cluster::{Cluster, Node};
use crate::diagnostic::printable;
use crate::survey::{Facts, Survey};

const SOME_JOINING: &str = "all, unless all are members";

pub(super) const SAME_MACHINE: Check = Check {
    name: "same-machine",
    severity: Severity::Error,
    of: SOME_JOINING,
    about: "Two nodes of the inventory are one machine: the same machine id in the same boot.",
    todo: "correct the addresses in the inventory",
};
pub(super) const MACHINE_ID: Check = Check {
    name: "machine-id",
    severity: Severity::Error,
    of: SOME_JOINING,
    about: "Machines have the same `/etc/machine-id`: they are clones. DHCP may give them one \
            address, and Kubernetes shows them as one machine.",
    todo: "on all but one: `rm /etc/machine-id && systemd-machine-id-setup`, then reboot",
};
pub(super) const PRODUCT_UUID: Check = Check {
    name: "product-uuid",
    severity: Severity::Warning,
    of: SOME_JOINING,
    about: "Machines have the same `product_uuid`. kubeadm's documentation asks for different ones; \
            storage drivers may confuse the nodes.",
    todo: "give the virtual machines ids of their own",
};
pub(super) const MAC_ADDRESS: Check = Check {
    name: "mac-address",
    severity: Severity::Error,
    of: SOME_JOINING,
    about: "The interfaces that have the internal addresses share a MAC address, so frames for one \
            reach the other.",
    todo: "give the virtual machines' interfaces MAC addresses of their own",
};
pub(super) const HOST_NAME: Check = Check {
    name: "host-name",
    severity: Severity::Warning,
    of: JOINING,
    about: "The machine calls itself by another node's name: the addresses in the inventory may be \
            mixed up. Any other name is no finding, since slipway sets it.",
    todo: "check the node's address in the inventory; if it is right, slipway renames the machine",
};

/// What is read of a node that must be its own; `None` where the node has no such thing.
type Key = fn(&Survey, &Node, &Facts) -> Option<String>;

const UNIQUE: &[(&Check, &str, Key)] = &[
    (&SAME_MACHINE, "are one machine, with the id", |_, _, facts| {
        let id = &facts.machine.machine_id;
        (!id.is_empty()).then(|| format!("{id}, boot {}", facts.boot_id))
    }),
    (&MACHINE_ID, "have the machine id", |_, _, facts| Some(facts.machine.machine_id.clone())),
    (&PRODUCT_UUID, "have the product UUID", |_, _, facts| {
        Some(facts.machine.product_uuid.to_lowercase())
    }),
    (&MAC_ADDRESS, "have the MAC address", |survey, node, facts| {
        Some(facts.machine.link(carrier(survey, node)?)?.mac.clone())
    }),
];

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told: Vec<Vec<&str>> = Vec::new();
    for (check, verb, key) in UNIQUE {
        let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for node in &cluster.nodes {
            let facts = survey.facts(&node.name);
            if let Some(value) = facts.and_then(|facts| key(survey, node, facts)) {
                alike.entry(value).or_default().push(&node.name);
            }
        }
        for (value, nodes) in alike {
            let new = nodes.iter().any(|name| survey.nodes.get(*name).is_some_and(joining));
            // That one machine has one of everything goes without saying.
            if value.is_empty() || nodes.len() < 2 || !new || told.contains(&nodes) {
                continue;
            }
            findings.push(check.overall(format!("{} {verb} {}", list(&nodes), printable(&value))));
            if check.name == SAME_MACHINE.name {
                told.push(nodes);
            }
        }
    }
    for (name, surveyed) in survey.nodes.iter().filter(|(_, surveyed)| joining(surveyed)) {
        let own = &surveyed.facts.machine.hostname;
        if own != name && cluster.node(own).is_some() {
            findings.push(HOST_NAME.on(name, format!("it calls itself {own}, as another node is")));
        }
    }
    findings
}
