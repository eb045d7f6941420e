//! What kubeadm writes: static pods, the kubelet's configuration, objects of the cluster. kubeadm on
//! the node says what it would write for the inventory ([`Probe::written`]); what is there is compared
//! with that by its meaning.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::command::Output;
use crate::probe::Probe;
use crate::yaml;

mod kubelet;
mod objects;
mod pod;

pub use kubelet::KubeletFiles;
pub use objects::Objects;
pub use pod::{ETCD, STATIC_PODS, StaticPod};

/// What to ask kubeadm: its configuration (`InitConfiguration` and all that goes with it, a dry run,
/// without any secret), and whether objects of the cluster are meant as well.
///
/// All that asks the same is answered by one run of kubeadm.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// The configuration's documents.
    pub configuration: String,
    /// Whether objects of the cluster are asked for.
    pub objects: bool,
}

impl DryRun {
    fn probe(&self) -> Probe {
        Probe::written(&self.configuration, self.objects)
    }
}

/// Where static pods' manifests lie.
const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// Where the kubelet's files lie.
const KUBELET: &str = "/var/lib/kubelet";

/// The answer: by file or part, its text. What kubeadm would write has a bare name, what is there its
/// path; `objects` and `live` are those of the cluster.
struct Answer<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Answer<'a> {
    /// Takes apart what `tail -v` prints; `None` where kubeadm gave no answer.
    fn read(seen: &'a Output) -> Option<Self> {
        let text = std::str::from_utf8(&seen.stdout).ok().filter(|_| seen.ok())?;
        let mut parts = BTreeMap::new();
        let mut rest = text.strip_prefix("==> ")?;
        loop {
            let (name, after) = rest.split_once(" <==\n")?;
            let (body, next) = match after.split_once("\n==> ") {
                Some((body, next)) => (body, Some(next)),
                None => (after, None),
            };
            // The first one holds: nothing that is there can replace what kubeadm said before.
            parts.entry(name).or_insert(body);
            match next {
                Some(next) => rest = next,
                None => return Some(Self(parts)),
            }
        }
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    /// What kubeadm would write to the file `name`, and what is there at `folder`.
    fn both(&self, name: &str, folder: &str) -> Option<(&'a str, Option<&'a str>)> {
        Some((self.text(name)?, self.text(&format!("{folder}/{name}"))))
    }
}

/// Why there is no answer, in a few words.
fn unanswered(seen: &Output) -> String {
    const SILENT: &str = "kubeadm does not say what it would write";
    let said = seen.text();
    match said.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(last) if !seen.ok() => format!("{SILENT}: {last}"),
        _ => SILENT.to_owned(),
    }
}

/// YAML by its meaning: what is empty by Go's rules for objects (`null`, `status: {}`) is not there.
fn meaning(text: &str) -> Option<Value> {
    let mut value: Value = yaml::read(text).ok()?;
    drop_empty(&mut value);
    Some(value)
}

fn drop_empty(value: &mut Value) {
    let Some(object) = value.as_object_mut() else { return };
    object.remove("status");
    object.retain(|_, field| !field.is_null());
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, field| !field.is_null());
    }
}

/// Both as a unified diff of their YAML, keys in order, so that only what differs is shown.
fn difference(old: Option<&Value>, new: &Value) -> String {
    let old = old.map(shown).unwrap_or_default();
    super::file::unified(&old, &shown(new))
}

fn shown(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn answer(text: &str) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let seen = answer("==> a <==\none\n\n==> /b/a <==\nno end\n==> live <==\n{}\n");
        let parts = Answer::read(&seen).unwrap();
        assert_eq!(parts.both("a", "/b"), Some(("one\n", Some("no end"))));
        assert_eq!(parts.text("live"), Some("{}\n"));
        assert_eq!(parts.text("x"), None);
    }

    #[test]
    fn what_kubeadm_said_cannot_be_replaced_by_a_file() {
        let seen = answer("==> a <==\nwanted\n\n==> /b/a <==\nx\n==> a <==\nforged\n");
        assert_eq!(Answer::read(&seen).unwrap().text("a"), Some("wanted\n"));
    }

    #[test]
    fn no_answer_is_told_by_its_last_words() {
        let seen = Output { code: 3, ..answer("a\nerror: no such file\n\n") };
        assert!(Answer::read(&seen).is_none());
        assert_eq!(
            unanswered(&seen),
            "kubeadm does not say what it would write: error: no such file"
        );
        for garbage in ["", "==> ", "==> a", "==> a <==", "\u{0}"] {
            let _ = Answer::read(&answer(garbage));
        }
    }

    #[test]
    fn order_and_empty_fields_mean_nothing() {
        let one = meaning("b: 1\na: {c: 2}\nmetadata: {creationTimestamp: null}\nstatus: {}\n");
        assert_eq!(one, meaning("a:\n  c: 2\nmetadata: {}\nb: 1\n"));
        assert_ne!(one, meaning("a:\n  c: 3\nmetadata: {}\nb: 1\n"));
    }
}
