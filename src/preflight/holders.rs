//! Who holds the virtual IP of a living cluster.

use super::finding::{Check, Finding, Severity};
use super::list;
use crate::cluster::{Cluster, Endpoint, Role};
use crate::survey::Survey;

pub(super) const HOLDERS: Check = Check {
    name: "virtual-ip-holders",
    severity: Severity::Warning,
    of: "control planes that are members",
    about: "More than one control plane holds the virtual IP: clients reach now one, now another, \
            and connections break. An apply that ends like that does not end well.",
    todo: "let VRRP (IP protocol 112) through between the control planes, in their own firewalls \
           and in the network's; `journalctl -u keepalived` says what each of them hears",
};

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let Endpoint::Vip { address, .. } = &cluster.endpoint else { return Vec::new() };
    let holds = |name: &&str| {
        let addresses = survey.facts(name).map(|facts| facts.addresses.as_slice());
        addresses
            .unwrap_or_default()
            .iter()
            .any(|(_, own)| own.split('/').next() == Some(&address.to_string()))
    };
    let control_planes = cluster.machines().filter(|node| node.role == Role::ControlPlane);
    let names = control_planes.map(|node| node.name.as_str());
    let holders: Vec<&str> = names.filter(holds).collect();
    if holders.len() < 2 {
        return Vec::new();
    }
    vec![HOLDERS.overall(format!("{} hold the virtual IP {address}", list(&holders)))]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::steps::Context;

    #[test]
    fn two_holders_are_one_too_many() {
        let Context { mut cluster, mut survey, .. } =
            Context::sample(&[], &["cp-1", "cp-2", "w-1"]);
        let interface = Some("eth0".to_owned());
        let address = Ipv4Addr::new(10, 0, 0, 100);
        cluster.endpoint = Endpoint::Vip { address, interface, router_id: 1 };
        let mut hold = |name: &str, address: &str| {
            let node = survey.nodes.get_mut(name).unwrap();
            node.facts.addresses.push(("eth0".to_owned(), address.to_owned()));
            let findings = findings(&cluster, &survey);
            findings.first().map(|one| one.what.clone())
        };
        assert_eq!(hold("cp-1", "10.0.0.100/32"), None);
        // Another address, and another node's business.
        assert_eq!(hold("cp-2", "10.0.0.10/24"), None);
        assert_eq!(hold("w-1", "10.0.0.100/32"), None);
        let both = hold("cp-2", "10.0.0.100/32").unwrap();
        assert_eq!(both, "cp-1 and cp-2 hold the virtual IP 10.0.0.100");
    }
}
