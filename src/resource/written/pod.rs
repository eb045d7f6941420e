//! A static pod of a control plane.

use std::time::Duration;

use serde_json::Value;

use super::{Answer, DryRun, MANIFESTS, difference, meaning, unanswered};
use crate::command::{Cmd, Input, Output, admin};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::resource::{Change, Diff, Disruption, Drift, Resource, sha256};

/// The static pod that is an etcd member.
pub const ETCD: &str = "etcd";

/// A control plane's static pods, in the order in which they are repaired: each needs those before it.
pub const STATIC_PODS: &[&str] =
    &[ETCD, "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The manifest of a static pod, as kubeadm writes it for this node; and once it has changed, that
/// the pod is ready with it.
pub struct StaticPod {
    /// Which one, of [`STATIC_PODS`].
    pub name: &'static str,
    /// The node.
    pub node: String,
    /// What to ask kubeadm.
    pub dry_run: DryRun,
}

/// How etcd's first start found its cluster. A member that joined has what held then; etcd reads
/// them no more once it has data ("--initial-… flags are ignored if a member has already started").
const OF_THE_JOIN: &[&str] = &["--initial-cluster=", "--initial-cluster-state="];

/// As long as kubeadm waits for one (`ControlPlaneComponentHealthCheckTimeout`), and the 40 s that an
/// API server takes to end.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Writes the manifest `$1` as one step, and waits until pod `$2` of it is ready: a container runs that the
/// kubelet made since, `$4` answers, which is what the kubelet's probe asks, and the API calls ready no container
/// that ended. The cluster's health, not each of them, waits until the kubelet says that the new one is: some 20 s
/// later, for by kubeadm's manifests it waits 10 s before it asks, then 10 s more, and writes what it knows of its
/// mirror pod as seldom. The kubelet reads no file whose name begins with a dot.
const WRITE: &str = concat!(admin!(), include_str!("pod.sh"));

impl StaticPod {
    /// The desired manifest and the present one.
    fn both(&self, seen: &Output) -> Option<(Value, Option<Value>)> {
        let answer = Answer::read(seen)?;
        let (wanted, live) = answer.both(&format!("{}.yaml", self.name), MANIFESTS)?;
        let (mut wanted, live) =
            (meaning(wanted)?, live.map(|text| meaning(text).unwrap_or(Value::Null)));
        if let Some(live) = live.as_ref().filter(|_| self.name == ETCD) {
            keep_join(&mut wanted, live);
        }
        Some((wanted, live))
    }
}

/// What the kubelet asks to know whether the pod is ready, or has at least started.
fn asked(pod: &Value) -> Option<String> {
    let container = pod.pointer("/spec/containers/0")?;
    let probes = ["/readinessProbe/httpGet", "/startupProbe/httpGet"];
    let get = probes.iter().find_map(|probe| container.pointer(probe))?;
    let text = |key: &str| get.get(key)?.as_str();
    let named = |port: &&Value| port.get("name") == get.get("port");
    let port = match get.get("port")? {
        Value::String(_) => {
            let ports = container.get("ports")?.as_array()?;
            ports.iter().find(named)?.get("containerPort")?
        }
        number => number,
    };
    let scheme = text("scheme").unwrap_or("HTTP").to_lowercase();
    Some(format!("{scheme}://{}:{}{}", text("host")?, port.as_u64()?, text("path")?))
}

fn command(pod: &Value) -> Option<&Vec<Value>> {
    pod.pointer("/spec/containers/0/command")?.as_array()
}

/// What the live etcd joined by stays as it is.
fn keep_join(wanted: &mut Value, live: &Value) {
    let of_the_join = |word: &Value| {
        word.as_str().is_some_and(|word| OF_THE_JOIN.iter().any(|flag| word.starts_with(flag)))
    };
    let kept: Vec<Value> =
        command(live).into_iter().flatten().filter(|word| of_the_join(word)).cloned().collect();
    let words = wanted.pointer_mut("/spec/containers/0/command").and_then(Value::as_array_mut);
    let Some(words) = words.filter(|_| !kept.is_empty()) else { return };
    words.retain(|word| !of_the_join(word));
    words.extend(kept);
    // kubeadm sorts what follows the program by the flags' names (`ArgumentsToCommand`).
    let name = |word: &Value| {
        let word = word.as_str().unwrap_or_default();
        word.split('=').next().unwrap_or_default().to_owned()
    };
    if let Some(flags) = words.get_mut(1..) {
        flags.sort_by_key(name);
    }
}

impl Resource for StaticPod {
    fn id(&self) -> String {
        format!("static pod {}", self.name)
    }

    fn probe(&self) -> Probe {
        self.dry_run.probe()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let Some((wanted, live)) = self.both(seen) else {
            return Ok(Drift::differs(unanswered(seen)));
        };
        if live.as_ref() == Some(&wanted) {
            return Ok(Drift::None);
        }
        let diff = if live.is_some() { Diff::update("manifest") } else { Diff::create("new") };
        let text = Some(difference(live.as_ref(), &wanted));
        Ok(Drift::Differs(diff.text(text)))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let Some((wanted, _)) = self.both(seen) else { return Vec::new() };
        let Some(asked) = asked(&wanted) else { return Vec::new() };
        let text = super::shown(&wanted);
        let pod = format!("{}-{}", self.name, self.node);
        let cmd = Cmd::shell(WRITE)
            .args([format!("{MANIFESTS}/{}.yaml", self.name), pod, sha256(text.as_bytes()), asked])
            .stdin(Input::Bytes(text.into_bytes()))
            .within(TIMEOUT + Duration::from_secs(30));
        vec![Change::new(
            format!("write {}'s manifest, and wait until it is ready", self.name),
            cmd,
        )]
    }

    fn disruption(&self, seen: &Output) -> Option<Disruption> {
        self.both(seen).map(|_| Disruption::Restart(self.name.to_owned()))
    }

    fn self_verifying(&self) -> bool {
        true
    }

    fn explain(&self, seen: &Output) -> Option<String> {
        Some(unanswered(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    fn pod(name: &'static str) -> StaticPod {
        let dry_run = DryRun { configuration: String::new(), objects: false };
        StaticPod { name, node: "cp-1".to_owned(), dry_run }
    }

    fn manifest(name: &str, flags: &[&str]) -> String {
        let flags: String = flags.iter().map(|flag| format!("    - {flag}\n")).collect();
        format!(
            "kind: Pod\nmetadata:\n  name: {name}\n  creationTimestamp: null\nspec:\n  containers:\n  \
             - command:\n    - {name}\n{flags}    ports:\n    - containerPort: 6443\n      name: probe-port\n    \
             startupProbe:\n      httpGet: {{host: 10.0.0.1, path: /livez, port: probe-port, scheme: HTTPS}}\n\
             status: {{}}\n"
        )
    }

    fn seen(name: &str, wanted: &[&str], live: Option<&[&str]>) -> Output {
        let mut text = format!("==> {name}.yaml <==\n{}", manifest(name, wanted));
        if let Some(live) = live {
            text += &format!("\n==> {MANIFESTS}/{name}.yaml <==\n{}", manifest(name, live));
        }
        answer(&text)
    }

    fn diff(pod: &StaticPod, seen: &Output) -> (String, String) {
        match pod.compare(seen).unwrap() {
            Drift::None => Default::default(),
            Drift::Differs(diff) => (diff.summary, diff.text.unwrap_or_default()),
        }
    }

    #[test]
    fn an_edited_flag_is_shown_and_put_back() {
        let pod = pod("kube-apiserver");
        let same = seen("kube-apiserver", &["--a=1", "--b=2"], Some(&["--a=1", "--b=2"]));
        assert_eq!(pod.compare(&same).unwrap(), Drift::None);
        let edited = seen("kube-apiserver", &["--a=1", "--b=2"], Some(&["--a=1", "--b=3"]));
        let (summary, text) = diff(&pod, &edited);
        assert_eq!(summary, "manifest");
        assert!(text.contains("-    - --b=3") && text.contains("+    - --b=2"), "{text}");
        let changes = pod.converge(&edited);
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        let Input::Bytes(written) = change.cmd.input() else { panic!("no manifest") };
        let written: Value = serde_yaml::from_slice(written).unwrap();
        assert_eq!(written["spec"]["containers"][0]["command"][2], "--b=2");
        assert_eq!(change.cmd.words().last().unwrap(), "https://10.0.0.1:6443/livez");
        assert_eq!(pod.disruption(&edited), Some(Disruption::Restart("kube-apiserver".to_owned())));
    }

    #[test]
    fn a_manifest_that_is_gone_or_is_no_yaml_is_written_again() {
        let pod = pod("kube-scheduler");
        assert_eq!(diff(&pod, &seen("kube-scheduler", &["--a"], None)).0, "new");
        let mut broken = seen("kube-scheduler", &["--a"], None);
        broken.stdout.extend(format!("\n==> {MANIFESTS}/kube-scheduler.yaml <==\na: [").bytes());
        assert_eq!(diff(&pod, &broken).0, "manifest");
    }

    #[test]
    fn what_etcd_joined_by_is_no_difference_and_stays() {
        let etcd = pod("etcd");
        let new = ["--data-dir=/x", "--initial-cluster=cp-1=a", "--name=cp-1"];
        let joined = [
            "--data-dir=/x",
            "--initial-cluster=cp-1=a,cp-2=b",
            "--initial-cluster-state=existing",
            "--name=cp-1",
        ];
        assert_eq!(etcd.compare(&seen("etcd", &new, Some(&joined))).unwrap(), Drift::None);
        let mut edited = joined;
        edited[0] = "--data-dir=/y";
        let edited = seen("etcd", &new, Some(&edited));
        let (_, text) = diff(&etcd, &edited);
        assert!(
            text.contains("+    - --data-dir=/x") && !text.contains("+    - --initial"),
            "{text}"
        );
    }

    #[test]
    fn without_kubeadms_word_nothing_is_written() {
        let silent = Output { code: 3, ..answer("unknown flag\n") };
        let pod = pod("etcd");
        assert_eq!(
            pod.compare(&silent).unwrap(),
            Drift::differs("kubeadm does not say what it would write: unknown flag")
        );
        assert!(pod.converge(&silent).is_empty() && pod.wait_only(&silent));
        assert_eq!(pod.disruption(&silent), None);
    }
}
