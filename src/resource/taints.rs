//! Taints of Node objects.

use super::{Change, Drift, Resource, health};
use crate::command::{ADMIN_CONF, Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// Key, value and effect of a taint.
pub type Taint = (String, String, String);

/// A node's taints of the inventory, and none that slipway gave it before; others, which Kubernetes and people
/// set, stay.
pub struct Taints {
    /// The node.
    pub node: String,
    /// The taints.
    pub taints: Vec<Taint>,
    /// Those that are not meant any more: `KEY:EFFECT`.
    pub dropped: Vec<String>,
}

impl Taints {
    /// What a taint is known by among those of a node: `KEY:EFFECT`.
    #[must_use]
    pub fn name((key, _, effect): &Taint) -> String {
        format!("{key}:{effect}")
    }

    fn live(&self, seen: &Output) -> Vec<Taint> {
        let live = health::node(seen, &self.node);
        let live = live.as_ref().and_then(|node| node.pointer("/spec/taints")?.as_array());
        let field = |taint: &serde_json::Value, name: &str| {
            taint.get(name).and_then(|field| field.as_str()).unwrap_or_default().to_owned()
        };
        let taint = |taint: &serde_json::Value| {
            (field(taint, "key"), field(taint, "value"), field(taint, "effect"))
        };
        live.into_iter().flatten().map(taint).collect()
    }

    /// Those of the dropped ones that the node still has.
    fn left<'a>(&'a self, live: &[Taint]) -> Vec<&'a str> {
        let dropped = self.dropped.iter().map(String::as_str);
        dropped.filter(|name| live.iter().any(|taint| Self::name(taint) == *name)).collect()
    }
}

impl Resource for Taints {
    fn id(&self) -> String {
        format!("taints of {}", self.node)
    }

    fn probe(&self) -> Probe {
        Probe::health()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let live = self.live(seen);
        let missing = self.taints.iter().filter(|taint| !live.contains(taint));
        let changes = missing.map(|(key, ..)| key.clone());
        let left = self.left(&live).into_iter().map(|name| format!("no more {name}"));
        let changes: Vec<String> = changes.chain(left).collect();
        Ok(Drift::unless(changes.is_empty(), changes.join(", ")))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let taints = self.taints.iter();
        let taints = taints.map(|(key, value, effect)| format!("{key}={value}:{effect}"));
        let live = self.live(seen);
        let left = self.left(&live).into_iter().map(|name| format!("{name}-"));
        let cmd = Cmd::new("kubectl")
            .args(["--kubeconfig", ADMIN_CONF, "taint", "--overwrite", "nodes"])
            .arg(&self.node)
            .args(taints.chain(left));
        vec![Change::new(format!("taint {}", self.node), cmd).repeatable()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn taints_of_others_are_left_alone() {
        let taint = |key: &str| (key.to_owned(), "v".to_owned(), "NoSchedule".to_owned());
        let node = |name: &str, taints: serde_json::Value| json!({"kind": "Node", "metadata": {"name": name}, "spec": {"taints": taints}});
        let theirs = json!([
            {"key": "a", "value": "v", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        ]);
        let nodes = [node("w-2", json!([])), node("w-1", theirs)];
        let seen = Output { stdout: health::lines(&nodes).into(), ..Output::default() };
        let taints = |taints, dropped: &[&str]| Taints {
            node: "w-1".to_owned(),
            taints,
            dropped: dropped.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(taints(vec![taint("a")], &[]).compare(&seen).unwrap(), Drift::None);
        assert_eq!(taints(vec![], &["a:NoExecute"]).compare(&seen).unwrap(), Drift::None);
        let drift = taints(vec![taint("a"), taint("b")], &[]).compare(&seen).unwrap();
        assert_eq!(drift, Drift::differs("b"));

        let changed = taints(vec![taint("b")], &["a:NoSchedule", "gone:NoExecute"]);
        assert_eq!(changed.compare(&seen).unwrap(), Drift::differs("b, no more a:NoSchedule"));
        let words = changed.converge(&seen)[0].cmd.words().to_vec();
        assert_eq!(words[6..], ["w-1", "b=v:NoSchedule", "a:NoSchedule-"]);
    }
}
