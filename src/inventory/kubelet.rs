//! `spec.kubelet`, held against what a kubelet of the inventory's version takes.

use semver::Version;
use serde_json::Value as Json;

use super::keys::at;
use super::owned;
use super::schema::{any_of, near_miss, not_whole};
use super::source::{Finding, Span};
use super::tree::{Node, Value};
use super::{read, syntax};
use crate::kubernetes::kubelet::{self, Fault, Fields, What};

/// More words than these are not listed.
const LISTED: usize = 10;

/// Everything in `spec.kubelet` of `root` that a kubelet would refuse, or drop without a word.
pub(super) fn check(root: &Node, findings: &mut Vec<Finding>) {
    let version =
        read::text(root, at!("spec.kubernetes.version")).and_then(|text| text.parse().ok());
    let Some(version) = version else { return };
    let (Some(node), Some(fields)) = (root.get(at!("spec.kubelet")), Fields::of(&version)) else {
        return;
    };
    let Json::Object(mut settings) = read::json(node) else { return };
    settings.retain(|key, _| !owned::KUBELET.iter().any(|(owned, _)| owned == key));
    let faults = kubelet::check(fields, &settings);
    findings.extend(faults.into_iter().map(|fault| finding(node, fault, &version)));
}

fn finding(settings: &Node, fault: Fault, version: &Version) -> Finding {
    let Place { name, key, node } = locate(settings, &fault.place);
    let named = format!("`{name}`");
    match fault.what {
        What::Unknown(known) => {
            let label = match near_miss(name, &known) {
                Some(word) => format!("did you mean `{word}`?"),
                None if known.len() > LISTED => {
                    format!("no kubelet of Kubernetes {version} knows it")
                }
                None => format!("expected {}", any_of(&known)),
            };
            Finding::new(format!("unknown key {named}"), key, label)
        }
        What::Type(wanted) => {
            let (is, label) = match not_whole(node) {
                Some(not_whole) if wanted.contains("number") => not_whole,
                _ if wanted == "text" && node.is_scalar() => {
                    (node.kind().to_owned(), "put it in quotes".to_owned())
                }
                _ if node.text().is_some_and(syntax::is_variable) => {
                    (node.kind().to_owned(), syntax::NO_VARIABLES.to_owned())
                }
                _ => (node.kind().to_owned(), String::new()),
            };
            Finding::new(format!("{named} must be {wanted}, not {is}"), &node.span, label)
        }
        What::Value(is, right) => Finding::new(format!("{named} {is}"), &node.span, right),
    }
}

/// Where something stands.
struct Place<'a> {
    /// The innermost key.
    name: &'a str,
    /// That key's place.
    key: &'a Span,
    /// The value, there or in a list below.
    node: &'a Node,
}

/// The value at `place` below `settings`, or the innermost that is there.
fn locate<'a>(settings: &'a Node, place: &[String]) -> Place<'a> {
    let start = Place { name: "kubelet", key: &settings.span, node: settings };
    place.iter().fold(start, |at, step| match &at.node.value {
        Value::Map(entries) => match entries.iter().find(|entry| entry.key == *step) {
            Some(entry) => Place { name: &entry.key, key: &entry.span, node: &entry.value },
            None => at,
        },
        Value::List(items) => match step.parse().ok().and_then(|index: usize| items.get(index)) {
            Some(node) => Place { node, ..at },
            None => at,
        },
        Value::Scalar(..) => at,
    })
}
