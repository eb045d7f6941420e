//! Everything that forbids a run, found before anything is changed, on all nodes at once.

use super::{Membership, Survey};
use crate::cluster::{Cluster, Role};
use crate::diagnostic::{Error, Kind, Result, printable};

/// Operating systems that the bundle has packages for.
const SYSTEMS: &[&str] = &["debian-12", "debian-13"];

/// Judges the survey.
///
/// # Errors
/// One error that lists every finding.
pub fn preflight(cluster: &Cluster, survey: &Survey) -> Result<()> {
    let mut findings = Vec::new();
    for (name, surveyed) in &survey.nodes {
        let facts = &surveyed.facts;
        let mut found = |what: String| findings.push(format!("{name}: {what}"));
        if !SYSTEMS.contains(&facts.os.as_str()) {
            let os = printable(&facts.os_name);
            found(format!("{os} is not supported; supported are {}", SYSTEMS.join(", ")));
        }
        if facts.arch != "amd64" {
            let arch = printable(&facts.arch);
            found(format!("architecture {arch} is not supported; supported is amd64"));
        }
        if facts.init != "systemd" {
            found("its init is not systemd".to_owned());
        }
        let internal = cluster.node(name).map(|node| node.internal.to_string());
        let carries = |(_, address): &(String, String)| {
            address.split('/').next().map(str::to_owned) == internal
        };
        if !facts.addresses.iter().any(carries) {
            let internal = internal.unwrap_or_default();
            found(format!("none of its interfaces has its internal address {internal}"));
        }
        match &surveyed.membership {
            Membership::Foreign(identity) => found(format!(
                "belongs to another cluster ({identity}), not to {} ({}); `kubeadm reset` on it, \
                 by hand, frees it",
                cluster.name,
                survey.identity.as_ref().map_or("new".to_owned(), ToString::to_string),
            )),
            Membership::Stale => found(format!(
                "is bare, while the cluster still lists {name} as a node or etcd member; remove \
                 that entry first"
            )),
            _ => {}
        }
    }
    findings.extend(unfinished(cluster, survey));
    if let Some(configuration) = &survey.configuration {
        findings.extend(fixed(cluster, configuration));
    }
    if findings.is_empty() {
        return Ok(());
    }
    let count = findings.len();
    let error = Error::new(Kind::Preflight, format!("{count} findings; nothing was changed"));
    Err(findings.into_iter().fold(error, Error::note))
}

/// A control plane that is half a member may be reset only while that cannot cost a cluster: when
/// another member's API says what is a member and what is not, or when there is no member at all
/// and one control plane alone began.
fn unfinished(cluster: &Cluster, survey: &Survey) -> Option<String> {
    let control_planes: Vec<&str> =
        cluster.with_role(Role::ControlPlane).map(|node| node.name.as_str()).collect();
    let partial: Vec<&str> = control_planes
        .iter()
        .copied()
        .filter(|node| matches!(survey.membership(node), Some(Membership::Partial(_))))
        .collect();
    let judged = survey.configuration.is_some();
    let others = control_planes.iter().any(|node| survey.is_member(node));
    (!partial.is_empty() && !judged && (others || partial.len() > 1)).then(|| {
        format!(
            "{}: part of a control plane, and no member's API answers to say which; start the \
             other control planes first",
            partial.join(", ")
        )
    })
}

/// What a living cluster cannot have changed by an apply: each difference, with both values.
fn fixed(cluster: &Cluster, configuration: &str) -> Vec<String> {
    let live: serde_json::Value = serde_yaml::from_str(configuration).unwrap_or_default();
    let list = |nets: &[ipnet::Ipv4Net]| {
        nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    [
        ("/kubernetesVersion", "the version", format!("v{}", cluster.kubernetes)),
        ("/networking/podSubnet", "the pod CIDR", list(&cluster.network.pods)),
        ("/networking/serviceSubnet", "the service CIDR", list(&cluster.network.services)),
        ("/networking/dnsDomain", "the DNS domain", cluster.network.domain.clone()),
        ("/controlPlaneEndpoint", "the endpoint", cluster.endpoint.authority()),
    ]
    .into_iter()
    .filter_map(|(path, what, wanted)| {
        let now = live.pointer(path)?.as_str()?;
        (now != wanted).then(|| {
            let now = printable(now);
            format!(
                "{what} of a living cluster cannot be changed yet: it is {now}, the inventory says \
                 {wanted}"
            )
        })
    })
    .collect()
}
