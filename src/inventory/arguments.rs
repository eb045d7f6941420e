//! `spec.controlPlane`, held against what the programs of the inventory's version take.

use super::keys::{Key, at};
use super::schema::near_miss;
use super::source::Finding;
use super::tree::{Node, Value};
use super::{owned, read};
use crate::cluster::{ControlPlane, Volume};
use crate::kubernetes::arguments::{Arguments, Component, expected};

/// The programs whose arguments the inventory may say, and what of them it may not.
type Program = (Component, &'static Key, &'static [(&'static str, &'static str)]);

const PROGRAMS: [Program; 4] = [
    (Component::ApiServer, at!("spec.controlPlane.apiServer.extraArgs"), owned::API_SERVER),
    (
        Component::ControllerManager,
        at!("spec.controlPlane.controllerManager.extraArgs"),
        owned::CONTROLLER_MANAGER,
    ),
    (Component::Scheduler, at!("spec.controlPlane.scheduler.extraArgs"), owned::SCHEDULER),
    (Component::Etcd, at!("spec.controlPlane.etcd.extraArgs"), owned::ETCD),
];

/// Where a program's volumes stand; etcd has none of the inventory's.
struct Volumes {
    of: Component,
    list: &'static Key,
    name: &'static Key,
    host_path: &'static Key,
    mount_path: &'static Key,
    read_only: &'static Key,
    path_type: &'static Key,
}

macro_rules! volumes {
    ($component:ident, $at:literal) => {
        Volumes {
            of: Component::$component,
            list: at!($at),
            name: at!(concat!($at, "[].name")),
            host_path: at!(concat!($at, "[].hostPath")),
            mount_path: at!(concat!($at, "[].mountPath")),
            read_only: at!(concat!($at, "[].readOnly")),
            path_type: at!(concat!($at, "[].pathType")),
        }
    };
}

const VOLUMES: [Volumes; 3] = [
    volumes!(ApiServer, "spec.controlPlane.apiServer.extraVolumes"),
    volumes!(ControllerManager, "spec.controlPlane.controllerManager.extraVolumes"),
    volumes!(Scheduler, "spec.controlPlane.scheduler.extraVolumes"),
];

/// The names of kubeadm's own volumes (`cmd/kubeadm/app/phases/controlplane/volumes.go`).
const KUBEADMS: &[&str] = &[
    "ca-certs",
    "etc-ca-certificates",
    "etc-pki",
    "flexvolume-dir",
    "k8s-certs",
    "kubeconfig",
    "usr-local-share-ca-certificates",
    "usr-share-ca-certificates",
];

/// Everything in `spec.controlPlane` of `root` that a program would not start with.
pub(super) fn check(root: &Node, findings: &mut Vec<Finding>) {
    let version = read::text(root, at!("spec.kubernetes.version")).and_then(|v| v.parse().ok());
    let Some(arguments) = version.as_ref().and_then(Arguments::of) else { return };
    for (component, key, owned) in PROGRAMS {
        let Some(node) = root.get(key) else { continue };
        let taken: Vec<_> = arguments.taken(component).collect();
        for entry in node.entries() {
            if owned.iter().any(|(owned, _)| *owned == entry.key) {
                continue;
            }
            match taken.iter().find(|(name, _)| *name == entry.key) {
                Some((name, kind)) => values(&entry.value, name, kind, findings),
                None => findings.push(unknown(entry, component, &taken)),
            }
        }
    }
    findings.extend(without_node_restriction(root));
    for volumes in &VOLUMES {
        let mut names = Vec::from(KUBEADMS);
        for name in root.items(volumes.list).filter_map(|volume| volume.get(volumes.name)) {
            let Some(text) = name.text() else { continue };
            if names.contains(&text) {
                let title = format!("{} has a volume `{text}` already", volumes.of.name());
                findings.push(Finding::new(title, &name.span, "give it another name"));
            }
            names.push(text);
        }
    }
}

fn unknown(entry: &super::tree::Entry, component: Component, taken: &[(&str, &str)]) -> Finding {
    let bare = entry.key.trim_start_matches('-');
    let names: Vec<&str> = taken.iter().map(|(name, _)| *name).collect();
    let label = match near_miss(bare, &names) {
        Some(name) if name == bare => format!("write it without dashes: `{name}`"),
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("no {} of this version takes it", component.name()),
    };
    Finding::new(format!("unknown argument `{}`", entry.key), &entry.span, label)
}

/// A value, or several in a list.
fn values(node: &Node, name: &str, kind: &str, findings: &mut Vec<Finding>) {
    let each = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for one in each {
        let wrong = match one.text() {
            None => Some("expected text, a number, `true` or `false`, or a list of them"),
            Some(text) => expected(kind, text),
        };
        findings.extend(wrong.map(|right| {
            Finding::new(format!("`{name}` cannot be {}", one.kind()), &one.span, right)
        }));
    }
}

/// Without this plugin a kubelet may change other nodes' objects (kubernetes.io, "Using Node Authorization").
fn without_node_restriction(root: &Node) -> Option<Finding> {
    const PLUGIN: &str = "NodeRestriction";
    let entries = root.get(at!("spec.controlPlane.apiServer.extraArgs"))?.entries();
    let says = |name: &str| {
        let entry = entries.iter().find(|entry| entry.key == name)?;
        let texts = texts(&entry.value);
        Some((
            &entry.value,
            texts.iter().any(|text| text.split(',').any(|one| one.trim() == PLUGIN)),
        ))
    };
    let (node, _) = says("enable-admission-plugins")
        .filter(|(_, has)| !has)
        .or_else(|| says("disable-admission-plugins").filter(|(_, has)| *has))?;
    let title = format!("the API server would be without `{PLUGIN}`");
    Some(Finding::new(title, &node.span, "without it a kubelet may change other nodes"))
}

fn texts(node: &Node) -> Vec<&str> {
    match &node.value {
        Value::List(items) => items.iter().filter_map(Node::text).collect(),
        _ => node.text().into_iter().collect(),
    }
}

/// What `spec.controlPlane` of `root`, an inventory without findings, means.
pub(super) fn resolve(root: &Node) -> ControlPlane {
    let of = |(component, key, _): Program| {
        let entries = root.get(key).map(Node::entries).unwrap_or_default();
        let arguments = entries.iter().flat_map(|entry| {
            texts(&entry.value).into_iter().map(|text| (entry.key.clone(), text.to_owned()))
        });
        (component, arguments.collect())
    };
    let volumes = VOLUMES.iter().map(|volumes| {
        let each = root.items(volumes.list).filter_map(|node| volume(node, volumes));
        (volumes.of, each.collect())
    });
    ControlPlane { arguments: PROGRAMS.into_iter().map(of).collect(), volumes: volumes.collect() }
}

fn volume(node: &Node, keys: &Volumes) -> Option<Volume> {
    Some(Volume {
        name: read::text(node, keys.name)?,
        host_path: read::text(node, keys.host_path)?,
        mount_path: read::text(node, keys.mount_path)?,
        read_only: read::flag(node, keys.read_only)?,
        path_type: read::text(node, keys.path_type),
    })
}
