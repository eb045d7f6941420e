//! `spec.controlPlane`, held against what the programs of the inventory's version take.

use super::keys::{Key, at};
use super::schema::near_miss;
use super::source::Finding;
use super::tree::{Node, Value};
use super::{owned, read};
use crate::cluster::ControlPlane;
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
    ControlPlane { arguments: PROGRAMS.into_iter().map(of).collect() }
}
