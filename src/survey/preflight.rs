//! Everything that forbids a run, found before anything is changed, on all nodes at once.

use super::{Membership, Partial, Survey, Way};
use crate::cluster::{Cluster, Network};
use crate::diagnostic::{Error, Kind, Result, printable};

/// Operating systems that the bundle has packages for.
const SYSTEMS: &[&str] = &["debian-12", "debian-13"];

/// Judges the survey. `glibc` is the version of the C library that slipway itself needs, since it
/// stays on control planes.
///
/// # Errors
/// One error that lists every finding.
pub fn preflight(cluster: &Cluster, survey: &Survey, glibc: (u32, u32)) -> Result<()> {
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
        if facts.glibc.is_none_or(|there| there < glibc) {
            let (major, minor) = glibc;
            found(format!(
                "its C library is older than {major}.{minor}, which this slipway needs; build \
                 slipway on the oldest system that it shall serve"
            ));
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
            Membership::Partial(Partial { what, way: Way::Refuse(why) }) => {
                found(format!("is no whole member ({what}), and is not reset, because {why}"));
            }
            _ => {}
        }
    }
    if survey.configuration.is_some() {
        findings.extend(fixed(cluster, survey));
    } else if survey.any_member() {
        let message = "no control plane's API answers; start the control planes that are members";
        findings.push(message.to_owned());
    }
    if findings.is_empty() {
        return Ok(());
    }
    let count = findings.len();
    let error = Error::new(Kind::Preflight, format!("{count} findings; nothing was changed"));
    Err(findings.into_iter().fold(error, Error::note))
}

/// What a living cluster cannot have changed by an apply: each difference, with both values.
fn fixed(cluster: &Cluster, survey: &Survey) -> Vec<String> {
    let read = |text: &Option<String>| -> serde_json::Value {
        crate::yaml::read(text.as_deref().unwrap_or_default()).unwrap_or_default()
    };
    let live = read(&survey.configuration);
    let mut findings: Vec<String> = [
        ("/kubernetesVersion", "the version", format!("v{}", cluster.kubernetes)),
        ("/networking/podSubnet", "the pod CIDR", Network::list(&cluster.network.pods)),
        ("/networking/serviceSubnet", "the service CIDR", Network::list(&cluster.network.services)),
        ("/networking/dnsDomain", "the DNS domain", cluster.network.domain.clone()),
        ("/controlPlaneEndpoint", "the endpoint", cluster.endpoint.authority()),
    ]
    .into_iter()
    .filter_map(|(path, what, wanted)| {
        let now = live.pointer(path).and_then(|now| now.as_str()).unwrap_or("not set");
        (now != wanted).then(|| cannot_change(what, now, &wanted))
    })
    .collect();
    let kubelet = read(&survey.kubelet);
    findings.extend(cluster.kubelet.iter().filter_map(|(key, wanted)| {
        let now = kubelet.get(key).cloned().unwrap_or_default();
        let what = format!("the kubelets' {key}");
        (!same(&now, wanted)).then(|| cannot_change(&what, &now.to_string(), &wanted.to_string()))
    }));
    findings.extend(other_network(cluster, survey));
    findings
}

fn cannot_change(what: &str, now: &str, wanted: &str) -> String {
    let now = printable(now);
    format!(
        "{what} of a living cluster cannot be changed yet: it is {now}, the inventory says {wanted}"
    )
}

/// Whether Kubernetes would read both alike: it writes the duration `5m` as `5m0s`.
fn same(now: &serde_json::Value, wanted: &serde_json::Value) -> bool {
    let plain = |value: &serde_json::Value| {
        value.as_str().map(|text| text.trim_end_matches("0s").trim_end_matches("0m").to_owned())
    };
    now == wanted || (plain(now).is_some() && plain(now) == plain(wanted))
}

/// A pod network on a member that is not the one that the inventory means.
fn other_network(cluster: &Cluster, survey: &Survey) -> Option<String> {
    let members = survey.nodes.iter().filter(|(name, _)| survey.is_member(name));
    let mut files = members.flat_map(|(name, node)| node.facts.cni.iter().map(move |f| (name, f)));
    let calico = |file: &str| file.contains("calico");
    let wanted = cluster.addons.calico;
    let (name, file) =
        files.find(|(_, file)| calico(file) != wanted && (wanted || calico(file)))?;
    let file = printable(file);
    Some(format!(
        "the pod network of a living cluster cannot be changed yet: {name} has {file} in \
         /etc/cni/net.d, the inventory says {}",
        if wanted { "Calico" } else { "no Calico" }
    ))
}
