//! What a node prints, seen by everything that slipway could want of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use super::{bounded, harmless, shown};
use crate::cluster::Drain;
use crate::command::{Input, Output};
use crate::diagnostic::{Error, Kind, last_lines};
use crate::engine::{NodePlan, Plan, Planned, StepPlan, Voters};
use crate::pki::Leaf;
use crate::probe::TEXT_LIMIT;
use crate::report::{View, plan_json, plan_text};
use crate::resource::{
    Absent, ApiServer, ApiServerCertificate, AtHub, Block, CalicoConfig, ClusterDns, Component,
    ControlPlaneJoin, Cordon, DeprecatedApis, Directory, DnsSpread, Drained, Drift, DryRun, Ended,
    EtcdJoin, EtcdSnapshot, Evictions, File, Healthy, Hostname, Image, Images, Init, Join,
    KubeletFiles, Manifest, Modules, NoAutoApproval, NoEtcdMember, NoNode, NoSwap, NoTokens,
    Objects, Package, Packages, Reachable, Registration, Reset, Resource, Returned, ServerKey,
    ServingCertificate, StaticPod, Synchronised, Sysctls, Taints, Token, Undone, Unit, Upstream,
    Voter, VrrpFilter, boxed,
};
use crate::secret::Secret;
use crate::steps::STEPS;

/// The answer to any probe: the exit code as a digit, then standard output.
pub(super) fn node_output(data: &[u8]) {
    let (code, stdout) = data.split_at_checked(1).unwrap_or_default();
    let code = code.first().map_or(0, |digit| i32::from(*digit) - i32::from(b'0'));
    let seen = Output { code, stdout: stdout.to_vec(), stderr: Vec::new() };
    for want in resources() {
        look(want.as_ref(), &seen, data.len());
    }
    let said = last_lines(&seen.text(), 15);
    harmless(&Error::new(Kind::Command, "it failed").note(said), data.len());
    stable(&seen);
}

/// All that slipway could want to know of a resource that is seen so.
pub(super) fn look(want: &dyn Resource, seen: &Output, size: usize) {
    let diff = match want.compare(seen) {
        Err(error) => return harmless(&error, size),
        Ok(Drift::None) => return,
        Ok(Drift::Differs(diff)) => diff,
    };
    if want.guard().is_some() {
        shown(&want.forbidden(seen).unwrap_or_default(), size);
    }
    for change in want.converge(seen) {
        bounded(change.what.len() + change.cmd.line().len(), size);
    }
    let why = want.explain(seen).unwrap_or_default();
    harmless(&Error::new(Kind::Timeout, "late").note(why), size);
    want.best_effort(seen);
    let (disruption, wait_only) = (want.disruption(seen), want.wait_only(seen));
    let planned = Planned { id: want.id(), diff, disruption, wait_only };
    let step = STEPS.first().map(|step| step.name).unwrap_or_default();
    let steps = vec![StepPlan { step, resources: vec![planned] }];
    let plan = Plan {
        steps: STEPS,
        nodes: vec![NodePlan { node: "cp-1".to_owned(), steps }],
        voters: Some(Voters { count: 1, answering: 1 }),
    };
    shown(&plan_text(&plan, None, View { full: true, colour: false }), size);
    bounded(plan_json(&plan, None).to_string().len(), size);
}

/// A block is where it shall be after one change, and nothing else changes.
fn stable(seen: &Output) {
    let block = Block::new("/etc/hosts", "10.77.0.11 cp-1");
    let Ok(Drift::Differs(_)) = block.compare(seen) else { return };
    for change in block.converge(seen) {
        let Input::Bytes(bytes) = change.cmd.input() else { continue };
        if bytes.len() < TEXT_LIMIT {
            let stdout = [b"644 root:root\n".as_slice(), bytes.as_slice()].concat();
            let again = Output { stdout, ..Output::default() };
            assert_eq!(block.compare(&again), Ok(Drift::None), "{}", again.text());
        }
    }
}

/// One of each kind; a file is there as text and as a secret.
/// What kubeadm is asked.
fn dry_run() -> DryRun {
    DryRun { configuration: String::new(), objects: true }
}

fn resources() -> Vec<Box<dyn Resource>> {
    let config = || Secret::new(b"kind: JoinConfiguration\n".to_vec());
    let word = |word: &str| word.to_owned();
    let reference = word("registry.k8s.io/pause:3.10.2");
    let image = Image { name: word("pause"), reference, digest: word("sha256:0a") };
    let package = Package { name: word("runc"), version: word("1.1.5"), dependency: false };
    let leaf = Leaf { certificate: Vec::new(), key: Secret::new(Vec::new()) };
    let (node, id, uid) = (word("cp-1"), word("a1"), word("u1"));
    vec![
        boxed(Absent("/etc/containerd/old")),
        boxed(Directory("/etc/kubernetes")),
        boxed(File::text("/etc/hosts", "127.0.0.1 localhost\n10.77.0.11 cp-1\n")),
        boxed(File::secret("/etc/kubernetes/pki/ca.key", config()).never_replaced()),
        boxed(Block::new("/etc/hosts", "10.77.0.11 cp-1")),
        boxed(Images::new("pods", vec![image], Arc::new(|_| Arc::new(Vec::new())))),
        boxed(Packages::new(vec![package], Arc::new(|_| Arc::new(Vec::new())))),
        boxed(Hostname(node.clone())),
        boxed(Cordon { node: node.clone(), cordoned: true }),
        boxed(NoSwap),
        boxed(Modules),
        boxed(Sysctls(BTreeMap::from([("net.ipv4.ip_forward", "1")]))),
        boxed(Unit::running("containerd.service", &[])),
        boxed(Ended("keepalived.service")),
        boxed(Init { config: config() }),
        boxed(Reset { node: node.clone(), what: Undone::Join(None) }),
        boxed(Token { object: config(), nodes: Vec::new() }),
        boxed(NoTokens { makes_one: false }),
        boxed(NoAutoApproval),
        boxed(VrrpFilter::new("", "")),
        boxed(Voter { node: node.clone() }),
        boxed(ServingCertificate),
        boxed(Synchronised),
        boxed(EtcdJoin { config: config() }),
        boxed(ApiServer { address: Ipv4Addr::new(10, 77, 0, 11) }),
        boxed(ControlPlaneJoin { node: node.clone(), config: config(), resumed: true }),
        boxed(Join { config: config() }),
        boxed(Manifest { name: "calico", text: String::new() }),
        boxed(Taints {
            node: node.clone(),
            taints: vec![(word("a"), word("b"), word("c"))],
            dropped: vec![word("d:e")],
        }),
        boxed(ServerKey { name: "metrics-server", leaf }),
        boxed(Healthy {
            nodes: vec![node.clone()],
            control_planes: BTreeMap::from([(node.clone(), Ipv4Addr::LOCALHOST)]),
            network: true,
            within: Duration::ZERO,
        }),
        boxed(StaticPod { name: "etcd", node: node.clone(), dry_run: dry_run() }),
        boxed(ApiServerCertificate {
            names: BTreeSet::from([node.clone()]),
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6443),
            configuration: String::new(),
        }),
        boxed(KubeletFiles { dry_run: dry_run() }),
        boxed(EtcdSnapshot { before: "v1.36.5".to_owned() }),
        boxed(Drained { node: node.clone(), drain: Drain::default(), later: vec![word("w-1")] }),
        boxed(Evictions { nodes: vec![node.clone()], drain: Drain::default() }),
        boxed(DeprecatedApis {
            address: Ipv4Addr::LOCALHOST,
            version: semver::Version::new(1, 37, 2),
        }),
        boxed(Returned { node: node.clone(), version: "v1.37.2".to_owned() }),
        boxed(Objects { dry_run: dry_run(), server: String::new(), ca: Vec::new() }),
        boxed(DnsSpread { nodes: vec![node.clone()] }),
        boxed(CalicoConfig),
        boxed(Component { name: "kube-scheduler", port: 10_259 }),
        boxed(ClusterDns { address: Ipv4Addr::LOCALHOST, name: node.clone() }),
        boxed(Upstream { known: true }),
        boxed(Reachable { node: node.clone(), vip: Ipv4Addr::LOCALHOST, port: 6443 }),
        boxed(NoEtcdMember { id, node: node.clone(), voted: true, alive: true }),
        boxed(NoNode { node, uid }),
        boxed(Registration::sample(AtHub::default(), false)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_is_forgotten() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/resource");
        assert_eq!(resources().len(), kinds_below(std::path::Path::new(dir)) + 1);
    }

    fn kinds_below(path: &std::path::Path) -> usize {
        if path.is_dir() {
            let inside = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
            return inside.map(|path| kinds_below(&path)).sum();
        }
        std::fs::read_to_string(path).unwrap().matches("\nimpl Resource for ").count()
    }
}
