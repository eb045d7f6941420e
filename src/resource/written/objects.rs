//! Objects of the cluster that kubeadm makes: its ConfigMaps, access rules, kube-proxy, CoreDNS.

use base64::Engine as _;
use serde_json::{Value, json};

use super::kubelet::OLD_CGROUPS;
use super::{Answer, DryRun, difference, unanswered};
use crate::command::{ADMIN_CONF, Cmd, Input, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::resource::manifest::APPLY;
use crate::resource::{Change, Diff, Drift, Resource};
use crate::yaml;

/// What kubeadm made in the cluster is there, with what kubeadm says of it. What others say beside
/// that stays: more labels, more tolerations, defaults of the API server, another number of
/// replicas, another Corefile. Only access rules are exactly as kubeadm makes them.
pub struct Objects {
    /// What to ask kubeadm, on the control plane that acts for the cluster.
    pub dry_run: DryRun,
    /// The endpoint, `https://host:port`, as whoever joins finds it in `cluster-info`.
    pub server: String,
    /// The cluster's CA certificate (PEM), found there as well.
    pub ca: Vec<u8>,
}

/// What kubeadm makes and slipway does not keep: kubelets' first certificates are judged by slipway
/// itself; the API server's way to kubelets is among the addons, since not every kubeadm makes it.
const OTHERS: &[&str] = &["kubeadm:node-autoapprove-bootstrap", "kubeadm:apiserver-kubelet-client"];

/// kube-proxy reads its configuration once, when it starts.
const RESTART: &[&str] = &[
    "--kubeconfig",
    ADMIN_CONF,
    "--namespace",
    "kube-system",
    "rollout",
    "restart",
    "daemonset/kube-proxy",
];

const RBAC: &str = "rbac.authorization.k8s.io/";

/// An object that differs: the desired one, and the present one.
struct Differing {
    wanted: Value,
    live: Option<Value>,
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn key(object: &Value) -> (&str, &str, &str) {
    let [kind, namespace, name] =
        ["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| text(object, pointer));
    (kind, namespace, name)
}

impl Objects {
    /// The desired objects.
    fn wanted(&self, answer: &Answer<'_>) -> Option<Vec<Value>> {
        let said = answer.text("objects")?;
        let documents = said.split("---\n").filter(|document| !document.trim().is_empty());
        let mut wanted = Vec::new();
        for document in documents {
            let mut object: Value = yaml::read(document).ok()?;
            let (kind, _, name) = key(&object);
            if kind == "Secret" || OTHERS.contains(&name) {
                continue;
            }
            if (kind, name) == ("ConfigMap", "cluster-info") {
                let known = self.cluster_info().to_string();
                object.as_object_mut()?.insert("data".to_owned(), json!({"kubeconfig": known}));
            }
            super::drop_empty(&mut object);
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("resourceVersion");
            }
            wanted.push(object);
        }
        Some(wanted)
    }

    /// What anybody may read of the cluster: where it is, and its CA.
    fn cluster_info(&self) -> Value {
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca);
        let cluster = json!({"certificate-authority-data": ca, "server": self.server});
        json!({
            "apiVersion": "v1", "kind": "Config", "contexts": null, "current-context": "", "users": null,
            "clusters": [{"name": "", "cluster": cluster}],
        })
    }

    /// What differs; `None` where kubeadm or the API does not answer.
    fn differing(&self, seen: &Output) -> Option<Vec<Differing>> {
        let answer = Answer::read(seen)?;
        let live = live(answer.text("live")?)?;
        let differing = self.wanted(&answer)?.into_iter().filter_map(|mut wanted| {
            let live = live.iter().find(|live| key(live) == key(&wanted)).cloned();
            if let Some(live) = &live {
                leave_to_others(&mut wanted, live);
                let exact = text(&wanted, "/apiVersion").starts_with(RBAC);
                if covers(live, &wanted, exact) && says_no_more(live, &wanted) {
                    return None;
                }
            }
            Some(Differing { wanted, live })
        });
        Some(differing.collect())
    }
}

/// The live objects, a line each; `None` where they could not be had.
fn live(said: &str) -> Option<Vec<Value>> {
    said.trim().lines().map(|line| serde_json::from_str(line).ok()).collect()
}

/// How many replicas there are, and what the Corefile says, is for people to decide.
fn leave_to_others(wanted: &mut Value, live: &Value) {
    let own = match key(wanted) {
        ("Deployment", ..) => "/spec/replicas",
        ("ConfigMap", _, "coredns") => "/data",
        _ => return,
    };
    if let (Some(wanted), Some(live)) = (wanted.pointer_mut(own), live.pointer(own)) {
        wanted.clone_from(live);
    }
}

/// Where whoever joins finds the kubelets' settings, nothing is left of one that is not meant any more; but that
/// control groups of the first version will do stays: a node that is silent now may need it.
fn says_no_more(live: &Value, wanted: &Value) -> bool {
    const KUBELET: &str = "/data/kubelet";
    if key(wanted) != ("ConfigMap", "kube-system", "kubelet-config") {
        return true;
    }
    let settings = |object: &Value| {
        let mut settings = document(text(object, KUBELET))?;
        settings.as_object_mut()?.remove(OLD_CGROUPS);
        Some(settings)
    };
    match (settings(wanted), settings(live)) {
        (Some(wanted), Some(live)) => covers(&wanted, &live, true),
        _ => false,
    }
}

/// Whether `live` says everything that `wanted` says. In a list each item of `wanted` has one that
/// says as much; with `exact` there are no others.
fn covers(live: &Value, wanted: &Value, exact: bool) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(field, wanted)| match live.get(field) {
                None => empty(wanted),
                Some(live) if field == "certificate-authority-data" => same_pem(live, wanted),
                Some(live) => covers(live, wanted, exact),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            if !wanted.iter().all(Value::is_object) {
                return live == wanted;
            }
            let there = |wanted: &Value| live.iter().any(|live| covers(live, wanted, exact));
            (!exact || live.len() == wanted.len()) && wanted.iter().all(there)
        }
        // Configuration within a ConfigMap: a document of its own.
        (Value::String(live), Value::String(wanted)) => {
            live == wanted
                || match (document(live), document(wanted)) {
                    (Some(live), Some(wanted)) => covers(&live, &wanted, exact),
                    _ => false,
                }
        }
        _ => live == wanted || empty(wanted),
    }
}

/// What may as well not be said.
fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn document(text: &str) -> Option<Value> {
    if !text.contains('\n') && !text.starts_with('{') {
        return None;
    }
    yaml::read(text).ok().filter(Value::is_object)
}

/// PEM may break lines in more than one way.
fn same_pem(live: &Value, wanted: &Value) -> bool {
    let bare = |value: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
        Some(bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>())
    };
    bare(live).is_some_and(|live| Some(live) == bare(wanted))
}

/// Without what the API server adds to each object.
fn own_part(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let said = wanted.iter().filter_map(|(field, wanted)| {
                Some((field.clone(), own_part(live.get(field)?, wanted)))
            });
            Value::Object(said.collect())
        }
        (Value::Array(live), Value::Array(wanted)) => {
            let named = |item: &&Value, name: &str| !name.is_empty() && text(item, "/name") == name;
            let item = |live: &Value| {
                let same = wanted.iter().find(|wanted| named(wanted, text(live, "/name")));
                same.map_or_else(|| live.clone(), |wanted| own_part(live, wanted))
            };
            Value::Array(live.iter().map(item).collect())
        }
        _ => live.clone(),
    }
}

impl Differing {
    fn summary(&self) -> String {
        let (kind, _, name) = key(&self.wanted);
        let new = if self.live.is_some() { "" } else { " (gone)" };
        format!("{kind} {name}{new}")
    }

    fn shown(&self) -> String {
        let live = self.live.as_ref().map(|live| own_part(live, &self.wanted));
        format!("{}\n{}", self.summary(), difference(live.as_ref(), &self.wanted))
    }
}

impl Resource for Objects {
    fn id(&self) -> String {
        "kubeadm's objects".to_owned()
    }

    fn probe(&self) -> Probe {
        self.dry_run.probe()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let Some(differing) = self.differing(seen) else {
            return Ok(Drift::differs(why_not(seen)));
        };
        if differing.is_empty() {
            return Ok(Drift::None);
        }
        let names: Vec<String> = differing.iter().map(Differing::summary).collect();
        let text = differing.iter().map(Differing::shown).collect();
        Ok(Drift::Differs(Diff::update(names.join(", ")).text(Some(text))))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let differing = self.differing(seen).unwrap_or_default();
        if differing.is_empty() {
            return Vec::new();
        }
        let texts: Vec<String> = differing.iter().map(|one| one.wanted.to_string()).collect();
        let apply = Cmd::shell(APPLY).stdin(Input::Bytes(texts.join("\n---\n").into_bytes()));
        let mut changes = vec![Change::new("apply kubeadm's objects", apply).repeatable()];
        let proxy = |one: &Differing| {
            key(&one.wanted) == ("ConfigMap", "kube-system", "kube-proxy") && one.live.is_some()
        };
        if differing.iter().any(proxy) {
            let restart = Cmd::new("kubectl").args(RESTART.iter().copied());
            changes.push(Change::new("restart kube-proxy", restart).repeatable());
        }
        changes
    }

    fn explain(&self, seen: &Output) -> Option<String> {
        Some(why_not(seen))
    }
}

fn why_not(seen: &Output) -> String {
    match Answer::read(seen) {
        Some(answer) if answer.text("objects").is_some() => "the API does not answer".to_owned(),
        _ => unanswered(seen),
    }
}

#[cfg(test)]
mod tests;
