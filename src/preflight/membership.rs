//! The nodes' part in a cluster, and what of a living one an apply cannot change.

use super::finding::{ALL, Check, Finding, Severity};
use crate::cluster::{Cluster, Network, Role};
use crate::diagnostic::printable;
use crate::etcd::EtcdMember;
use crate::kubernetes::kubelet::{self, Fields};
use crate::survey::{Facts, Membership, Otherwise, Partial, Remedy, Survey};

pub(super) const OTHER_CLUSTER: Check = Check {
    name: "other-cluster",
    severity: Severity::Error,
    of: ALL,
    about: "The node has the CA certificate of a cluster that is not the inventory's.",
    todo: "correct the inventory; or free the node by hand, with `kubeadm reset`",
};
pub(super) const UNFINISHED: Check = Check {
    name: "unfinished",
    severity: Severity::Error,
    of: ALL,
    about: "The node is no whole member, and undoing what is there might cost the cluster: nobody \
            says that the node is no member, or it votes in etcd.",
    todo: "mend the node by hand; or, if you know that the cluster can do without it, take it out with \
           `slipway node remove` and its name, and apply again",
};
pub(super) const STALE: Check = Check {
    name: "stale",
    severity: Severity::Warning,
    of: ALL,
    about: "The node is bare, while the cluster still lists a node or an etcd member of its name.",
    todo: "nothing if it was reinstalled: what is left of its earlier life is removed, and it joins \
           again; else stop here, and look which machine this is",
};
pub(super) const OTHERWISE: Check = Check {
    name: "other-member",
    severity: Severity::Error,
    of: ALL,
    about: "The machine is a living member of this cluster, and the inventory gives it another name, \
            role or address. slipway cannot change these, and resets nothing that lives.",
    todo: "write into the inventory what the machine is; or write it, and take the machine out of the \
           cluster with `slipway node remove` and its name, before it joins as another",
};
pub(super) const TAKEN: Check = Check {
    name: "name-taken",
    severity: Severity::Error,
    of: ALL,
    about: "The machine is bare, and another machine, at another address, is a member of the cluster by \
            its name.",
    todo: "give the new machine another name; or first take the old one out of the cluster: `slipway node \
           remove` and its name, with the old address in its line, or with --force once that machine is off",
};
pub(super) const BEYOND: Check = Check {
    name: "not-in-inventory",
    severity: Severity::Warning,
    of: "the living cluster",
    about: "A node is in the cluster and not in the inventory. It stays: nothing is removed unasked, \
            and a control plane keeps its place behind the endpoint.",
    todo: "write it into the inventory; then `slipway node remove` and its name can take it out of the cluster, \
           too, if it shall go",
};
pub(super) const LEARNER: Check = Check {
    name: "etcd-learner",
    severity: Severity::Warning,
    of: "the living cluster",
    about: "A member of etcd began to join, never voted, and is no node of the inventory: a join that \
            was cut short before its node was taken out of the file. While it is listed, etcd admits \
            no other control plane.",
    todo: "write its node into the inventory again; or remove it on a control plane: `etcdctl member \
           remove` and its id",
};
pub(super) const NO_API: Check = Check {
    name: "no-api",
    severity: Severity::Error,
    of: "control planes",
    about: "There are members, and no control plane's API answers.",
    todo: "start the control planes that are members",
};
pub(super) const UNCHANGEABLE: Check = Check {
    name: "unchangeable",
    severity: Severity::Error,
    of: "the living cluster",
    about: "The inventory says otherwise than the living cluster about the networks, \
            the DNS domain, the endpoint, the pod network, or settings \
            of the kubelets' resource managers, which need a drained node. slipway cannot change these yet.",
    todo: "write into the inventory what the cluster has",
};

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    // What is left of a member that leaves: all of it is this cluster's, or `kubeadm reset` took most of it away.
    let ours = |facts: &Facts| match facts.identity {
        None => !facts.has("etcd-data") && facts.member.is_none() && facts.node.is_none(),
        Some(_) => facts.identity == survey.identity,
    };
    for (name, surveyed) in &survey.nodes {
        match &surveyed.membership {
            Membership::Stale if cluster.leaves(name) => {}
            Membership::Partial(_) if cluster.leaves(name) && ours(&surveyed.facts) => {}
            Membership::Foreign(theirs) => {
                let ours = survey.identity.as_ref().map_or("new".to_owned(), ToString::to_string);
                let own = &cluster.name;
                let what =
                    format!("it belongs to another cluster ({theirs}), not to {own} ({ours})");
                findings.push(OTHER_CLUSTER.on(name, what));
            }
            Membership::Partial(Partial { missing, remedy: Remedy::Refuse(why) }) => {
                let what = format!("it is no whole member ({missing}), and is not reset: {why}");
                findings.push(UNFINISHED.on(name, what));
            }
            Membership::Stale => {
                let what = "it is bare, while the cluster still lists it";
                findings.push(STALE.on(name, what));
            }
            Membership::Otherwise(is) => {
                let meant = cluster.machines().find(|node| node.name == *name);
                let Some(meant) = meant else { continue };
                let meant = match is {
                    Otherwise::Name(_) => meant.name.clone(),
                    Otherwise::Role(_) => meant.role.name().to_owned(),
                    Otherwise::Address(_) => meant.internal.to_string(),
                };
                let is = is.in_words();
                let what = format!("this machine is {is}, and the inventory says {meant}");
                findings.push(OTHERWISE.on(name, what));
            }
            Membership::Taken(address) => {
                let address = printable(address);
                let what = format!("it is bare, and the member of that name is at {address}");
                findings.push(TAKEN.on(name, what));
            }
            Membership::Absent | Membership::Member | Membership::Partial(_) => {}
        }
    }
    for member in &survey.beyond {
        let role = match member.role {
            Role::ControlPlane => "a control plane, which votes in etcd",
            Role::Worker => "a worker",
        };
        let what = format!("{} at {} is {role}", member.name, member.internal);
        findings.push(BEYOND.overall(format!("{what}, and not in the inventory")));
    }
    let of_ours = |member: &EtcdMember| {
        cluster.nodes.iter().any(|node| node.name == member.name || member.is_of(node))
    };
    let members = survey.etcd.iter().flatten().filter(|member| !member.votes());
    for member in members.filter(|member| !of_ours(member)) {
        let (id, at) = (printable(&member.id), printable(&member.peers.join(", ")));
        findings.push(LEARNER.overall(format!(
            "etcd's member {id} at {at} never voted, and is no node of the inventory"
        )));
    }
    if survey.configuration.is_some() {
        let differs = fixed(cluster, survey).into_iter();
        findings.extend(differs.map(|what| UNCHANGEABLE.overall(what)));
    } else if survey.any_member() {
        findings.push(NO_API.overall("no control plane's API answers"));
    }
    findings
}

/// Settings of the kubelet's CPU and memory managers, which keep a state of running pods: with other settings a
/// kubelet does not start before that is removed, and the node is to be drained first (kubernetes.io, "Control
/// CPU Management Policies on the Node", "Utilizing the NUMA-aware Memory Manager").
const MANAGERS: &[&str] = &[
    "cpuManagerPolicy",
    "cpuManagerPolicyOptions",
    "memoryManagerPolicy",
    "reservedMemory",
    "reservedSystemCPUs",
];

/// Settings that decide how much the managers share out, where one of them does.
const SHARES: &[&str] = &["kubeReserved", "systemReserved"];

/// What a living cluster cannot have changed by an apply: each difference, with both values.
fn fixed(cluster: &Cluster, survey: &Survey) -> Vec<String> {
    let read = |text: &Option<String>| -> serde_json::Value {
        crate::yaml::read(text.as_deref().unwrap_or_default()).unwrap_or_default()
    };
    let live = read(&survey.configuration);
    let mut findings: Vec<String> = [
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
    let fields = Fields::of(&cluster.kubernetes);
    let same = |key: &str, now: &serde_json::Value, wanted: &serde_json::Value| match fields {
        Some(fields) => kubelet::same(fields, key, now, wanted),
        None => now == wanted,
    };
    let shares = |policy: &str, policies: &[&str]| {
        [cluster.kubelet.get(policy), kubelet.get(policy)]
            .into_iter()
            .flatten()
            .any(|now| now.as_str().is_some_and(|now| policies.contains(&now)))
    };
    let shared =
        shares("cpuManagerPolicy", &["static"]) || shares("memoryManagerPolicy", &["Static"]);
    let settings = MANAGERS.iter().chain(SHARES.iter().filter(|_| shared));
    findings.extend(settings.filter_map(|key| {
        // No policy is called so, too.
        let none = |value: &&serde_json::Value| {
            value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("none"))
        };
        let of = |value: Option<&serde_json::Value>| {
            value.filter(|value| !none(value)).cloned().unwrap_or_default()
        };
        let (now, wanted) = (of(kubelet.get(*key)), of(cluster.kubelet.get(*key)));
        let what = format!("the kubelets' {key}");
        (!same(key, &now, &wanted))
            .then(|| cannot_change(&what, &now.to_string(), &wanted.to_string()))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::steps::Context;

    /// What the kubelet's managers keep a state for needs a drained node; kubeadm writes quantities in its own
    /// way, and no value that is nothing.
    #[test]
    fn other_settings_of_a_kubelets_managers_are_refused() {
        let managed = json!({"cpuManagerPolicy": "static", "systemReserved": {"cpu": "1000m"}});
        let cases = [
            (json!({"maxPods": 200, "imageMinimumGCAge": "10s"}), "imageMinimumGCAge: 10m0s", 0),
            (json!({}), "maxPods: 110", 0),
            (json!({"systemReserved": {"cpu": "2"}}), "systemReserved: {cpu: '1'}", 0),
            (json!({"cpuManagerPolicy": "none"}), "memoryManagerPolicy: None", 0),
            (managed.clone(), "{cpuManagerPolicy: static, systemReserved: {cpu: '1'}}", 0),
            (managed.clone(), "{cpuManagerPolicy: static, systemReserved: {cpu: '2'}}", 1),
            (managed, "systemReserved: {cpu: '1'}", 1),
            (json!({}), "{memoryManagerPolicy: Static, reservedMemory: [{numaNode: 0}]}", 2),
        ];
        for (wanted, living, differences) in cases {
            let Context { mut cluster, mut survey, .. } = Context::sample(&[], &["cp-1"]);
            cluster.kubelet = wanted.as_object().unwrap().clone();
            survey.configuration = Some(format!(
                "{{kubernetesVersion: v{}, controlPlaneEndpoint: '10.0.0.1:6443', apiServer: \
                 {{certSANs: [api.sample]}}, networking: {{podSubnet: 10.244.0.0/16, serviceSubnet: \
                 10.96.0.0/12, dnsDomain: cluster.local}}}}",
                cluster.kubernetes
            ));
            survey.kubelet = Some(living.to_owned());
            let found = fixed(&cluster, &survey);
            assert_eq!(found.len(), differences, "{wanted}, {living}: {found:?}");
        }
    }
}
