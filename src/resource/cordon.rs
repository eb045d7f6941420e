//! Whether a node takes pods, at a person's word.

use super::{Change, Drift, Resource, health};
use crate::command::{ADMIN_CONF, Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// A node takes no new pods, or takes them. Slipway's mark of what it cordoned for an upgrade goes: from now on
/// a person decides.
pub struct Cordon {
    /// The node.
    pub node: String,
    /// Whether it takes no new ones.
    pub cordoned: bool,
}

/// The annotation of nodes that slipway cordoned.
const MARK: &str = "/metadata/annotations/slipway.dev~1cordoned";

impl Resource for Cordon {
    fn id(&self) -> String {
        format!("cordon of {}", self.node)
    }

    fn probe(&self) -> Probe {
        Probe::health()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let node = health::node(seen, &self.node);
        let same = node.is_some_and(|node| {
            let cordoned = node.pointer("/spec/unschedulable").and_then(|is| is.as_bool());
            cordoned.unwrap_or_default() == self.cordoned && node.pointer(MARK).is_none()
        });
        Ok(Drift::unless(
            same,
            if self.cordoned { "takes no new pods" } else { "takes pods again" },
        ))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let patch = serde_json::json!({
            "metadata": {"annotations": {"slipway.dev/cordoned": null}},
            "spec": {"unschedulable": self.cordoned},
        });
        let cmd = Cmd::new("kubectl")
            .args(["--kubeconfig", ADMIN_CONF, "--request-timeout=30s", "patch", "node"])
            .args([&self.node, "--type=merge", "--patch"])
            .arg(patch.to_string());
        let verb = if self.cordoned { "cordon" } else { "uncordon" };
        vec![Change::new(format!("{verb} {}", self.node), cmd).repeatable()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_persons_word_replaces_slipways_mark() {
        let drift = |cordoned: bool, metadata: Value, spec: Value| {
            let mut node = json!({"kind": "Node", "metadata": metadata, "spec": spec});
            node["metadata"]["name"] = json!("w-1");
            let seen = Output { stdout: health::lines(&[node]).into(), ..Output::default() };
            Cordon { node: "w-1".to_owned(), cordoned }.compare(&seen).unwrap() != Drift::None
        };
        let (marked, cordoned) = (
            json!({"annotations": {"slipway.dev/cordoned": "drain"}}),
            json!({"unschedulable": true}),
        );
        assert!(drift(true, json!({}), json!({})));
        assert!(!drift(true, json!({}), cordoned.clone()));
        assert!(drift(true, marked.clone(), cordoned.clone()));
        assert!(!drift(false, json!({}), json!({})));
        assert!(drift(false, json!({}), cordoned.clone()));
        assert!(drift(false, marked, cordoned));
        let gone = Cordon { node: "w-1".to_owned(), cordoned: false }.compare(&Output::default());
        assert_ne!(gone.unwrap(), Drift::None);
    }
}
