//! Finds every error and warning about the machines before anything is changed, on all nodes at once.
//! Pure: [`questions`] says what to ask the nodes, [`findings`] judges the answers.

use crate::cluster::{Cluster, Endpoint, Node, Role};
use crate::survey::{Membership, Survey, Surveyed};

mod certificates;
mod clock;
mod finding;
mod forward;
mod holders;
mod left;
mod maintenance;
mod membership;
mod mounts;
mod network;
mod ports;
mod removal;
mod sync;
mod system;
#[cfg(test)]
mod tests;
mod unique;
mod upgrade;

pub use finding::{Check, Finding, Severity, refuse};
pub use sync::synced;

/// All checks, in the order of the documentation.
pub const CHECKS: &[&Check] = &[
    &system::OPERATING_SYSTEM,
    &system::ARCHITECTURE,
    &system::INIT,
    &system::C_LIBRARY,
    &system::KERNEL,
    &system::CONTROL_GROUPS,
    &system::PROCESSORS,
    &system::MEMORY,
    &system::DISK_SPACE,
    &system::DISK_PRESSURE,
    &sync::SLOW_DISK,
    &system::LOCALHOST,
    &system::OTHER_KUBERNETES,
    &system::LEFTOVERS,
    &left::POD_NETWORK,
    &left::OTHER_POD_NETWORK,
    &left::ETCD_DATA,
    &left::KUBELET_DATA,
    &left::INTERFACES,
    &left::SERVES,
    &system::DOCKER,
    &system::PACKAGES,
    &system::DPKG,
    &mounts::READ_ONLY,
    &mounts::NO_EXEC,
    &ports::PORT,
    &unique::SAME_MACHINE,
    &unique::MACHINE_ID,
    &unique::PRODUCT_UUID,
    &unique::MAC_ADDRESS,
    &unique::HOST_NAME,
    &clock::CLOCK,
    &clock::CLOCK_STUCK,
    &system::IPROUTE2,
    &system::INTERNAL_ADDRESS,
    &system::UNSEEN,
    &network::FILTERED,
    &forward::FORWARD,
    &network::MTU,
    &network::PATH_MTU,
    &network::VIRTUAL_IP,
    &network::VIRTUAL_IP_TAKEN,
    &holders::HOLDERS,
    &network::ENDPOINT_NAME,
    &network::ENDPOINT,
    &network::ENDPOINT_TAKEN,
    &network::NAME_SERVER,
    &membership::OTHER_CLUSTER,
    &membership::UNFINISHED,
    &membership::STALE,
    &membership::OTHERWISE,
    &membership::TAKEN,
    &membership::BEYOND,
    &membership::LEARNER,
    &membership::NO_API,
    &membership::UNCHANGEABLE,
    &removal::REMOVAL,
    &maintenance::MAINTENANCE,
    &upgrade::UPGRADE,
    &certificates::ENDING,
    &certificates::ENDED,
];

/// Judges the survey: all findings, in the order of [`sort`]. `glibc` is the oldest C library that
/// slipway itself runs with.
#[must_use]
pub fn findings(cluster: &Cluster, survey: &Survey, glibc: (u32, u32)) -> Vec<Finding> {
    let mut all = system::findings(cluster, survey, glibc);
    all.extend(membership::findings(cluster, survey));
    all.extend(removal::findings(cluster, survey));
    all.extend(maintenance::findings(cluster, survey));
    all.extend(upgrade::findings(cluster, survey));
    all.extend(ports::findings(cluster, survey));
    all.extend(unique::findings(cluster, survey));
    all.extend(clock::findings(cluster, survey));
    all.extend(network::findings(cluster, survey));
    all.extend(left::findings(cluster, survey));
    all.extend(mounts::findings(survey));
    all.extend(certificates::findings(survey));
    certificates::advise(&mut all);
    all.extend(forward::findings(survey));
    all.extend(holders::findings(cluster, survey));
    // What is wrong with a machine is no reason to keep it in the cluster; that it is another may be.
    let leaves = |one: &Finding| one.node.as_ref().is_some_and(|node| cluster.leaves(node));
    let who = [
        &membership::OTHER_CLUSTER,
        &membership::UNFINISHED,
        &membership::OTHERWISE,
        &membership::TAKEN,
    ]
    .map(|check| check.name);
    all.retain(|one| !leaves(one) || who.contains(&one.check));
    // Who works at a machine may well know what is wrong with it, and changes nothing of what the inventory means.
    let cluster_is_there =
        [&maintenance::MAINTENANCE, &membership::OTHER_CLUSTER, &membership::NO_API]
            .map(|check| check.name);
    all.retain(|one| cluster.maintained.is_empty() || cluster_is_there.contains(&one.check));
    sort(&mut all, cluster);
    all
}

/// Whether more than one control plane held the virtual IP.
#[must_use]
pub fn disputed(cluster: &Cluster, survey: &Survey) -> bool {
    !holders::findings(cluster, survey).is_empty()
}

/// Puts findings into order: node by node as in the inventory, then what is about several; errors
/// first.
pub fn sort(findings: &mut [Finding], cluster: &Cluster) {
    let place =
        |one: &Finding| cluster.nodes.iter().position(|node| Some(&node.name) == one.node.as_ref());
    findings.sort_by_cached_key(|one| (place(one).unwrap_or(usize::MAX), one.severity));
}

/// How many workers a node asks whether they answer: not all, or the work would grow with the
/// square of the number of nodes. Control planes are asked always.
const ASKED: usize = 16;

/// What to ask of `node` while it has not joined, as words of [`crate::probe::Probe::survey`].
#[must_use]
pub fn questions(cluster: &Cluster, node: &Node) -> Vec<String> {
    let own = ports::needed(cluster, node).into_iter().map(|(port, _)| port);
    let mut words = vec![format!("ports={}", numbers(own))];
    // The workers that come next, so that each is asked by somebody.
    let at = cluster.nodes.iter().position(|other| other.name == node.name).unwrap_or_default();
    let next =
        cluster.nodes.iter().cycle().skip(at + 1).take(cluster.nodes.len().saturating_sub(1));
    let workers = next.filter(|other| other.role == Role::Worker).take(ASKED);
    let control_planes =
        cluster.with_role(Role::ControlPlane).filter(|other| other.name != node.name);
    for peer in control_planes.chain(workers) {
        words.push(format!("peer={} {}", peer.internal, numbers(used(node.role, peer.role))));
    }
    match &cluster.endpoint {
        Endpoint::Vip { address, .. } if node.role == Role::ControlPlane => {
            words.push(format!("vip={address}"));
        }
        Endpoint::External { host, port } => words.push(format!("endpoint={host} {port}")),
        _ => {}
    }
    words
}

fn numbers(ports: impl IntoIterator<Item = u16>) -> String {
    ports.into_iter().map(|port| port.to_string()).collect::<Vec<_>>().join(" ")
}

/// The ports of a node that another one connects to (kubernetes.io, "Ports and Protocols").
fn used(by: Role, of: Role) -> Vec<u16> {
    let mut ports = Vec::new();
    if of == Role::ControlPlane {
        ports.push(crate::cluster::API_PORT);
    }
    if by == Role::ControlPlane {
        ports.push(ports::KUBELET);
        ports.extend(ports::ETCD.iter().filter(|_| of == Role::ControlPlane));
    }
    ports
}

/// Whether the node will join: what is on a member works, what is on another cluster's is its own.
fn joining(surveyed: &Surveyed) -> bool {
    !matches!(surveyed.membership, Membership::Member | Membership::Foreign(_))
}

/// The interface that has the node's internal address.
fn carrier<'a>(survey: &'a Survey, node: &Node) -> Option<&'a str> {
    survey.facts(&node.name)?.interface_of(node.internal)
}

/// `a, b and c`.
fn list(items: &[impl AsRef<str>]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}
