//! The kubelet's own files.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{Answer, DryRun, KUBELET, difference, meaning, unanswered};
use crate::command::{Cmd, Input, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::resource::{Change, Diff, Disruption, Drift, Resource};

const CONFIG: &str = "config.yaml";
const INSTANCE: &str = "instance-config.yaml";
const FLAGS: &str = "kubeadm-flags.env";

/// Says that control groups of the first version will do. The whole cluster has it as soon as one of
/// its nodes needs it, and nodes that do not may have joined before or after.
pub(super) const OLD_CGROUPS: &str = "failCgroupV1";

/// Read once, when a node registers; a join passes taints by it, `init` does not.
const REGISTRATION: &str = "--register-with-taints=";

/// Writes the files (path and size of each in the words, contents one after the other on the input),
/// restarts the kubelet, and waits until it is healthy at port `$1`.
const WRITE: &str = include_str!("kubelet.sh");

/// The kubelet's configuration and its flags, as kubeadm writes them on this node; the kubelet
/// restarts when they change.
pub struct KubeletFiles {
    /// What to ask kubeadm.
    pub dry_run: DryRun,
}

/// A file that is not as kubeadm would write it.
struct Differing {
    name: &'static str,
    wanted: String,
    shown: String,
}

impl KubeletFiles {
    /// The files that differ; `None` where kubeadm gave no answer.
    fn differing(seen: &Output) -> Option<Vec<Differing>> {
        let answer = Answer::read(seen)?;
        let mut differing = Vec::new();
        for name in [CONFIG, INSTANCE] {
            let (text, live) = answer.both(name, KUBELET)?;
            let wanted = meaning(text)?;
            let live = live.map(|live| meaning(live).unwrap_or(Value::Null));
            let same = live.as_ref().is_some_and(|live| alike(live) == alike(&wanted));
            if !same {
                let shown = difference(live.as_ref(), &wanted);
                differing.push(Differing { name, wanted: text.to_owned(), shown });
            }
        }
        let (text, live) = answer.both(FLAGS, KUBELET)?;
        let live = live.unwrap_or_default();
        if flags(live) != flags(text) {
            let shown = super::super::file::unified(live, text);
            differing.push(Differing { name: FLAGS, wanted: text.to_owned(), shown });
        }
        Some(differing)
    }
}

fn alike(config: &Value) -> Value {
    let mut config = config.clone();
    config.as_object_mut().and_then(|config| config.remove(OLD_CGROUPS));
    config
}

/// The flags of `KUBELET_KUBEADM_ARGS="…"`.
fn flags(text: &str) -> Option<BTreeSet<String>> {
    let line = text.lines().find_map(|line| line.strip_prefix("KUBELET_KUBEADM_ARGS="))?;
    let flags = shlex::split(&shlex::split(line)?.join(" "))?;
    Some(flags.into_iter().filter(|flag| !flag.starts_with(REGISTRATION)).collect())
}

impl Resource for KubeletFiles {
    fn id(&self) -> String {
        "kubelet's configuration".to_owned()
    }

    fn probe(&self) -> Probe {
        self.dry_run.probe()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let Some(differing) = Self::differing(seen) else {
            return Ok(Drift::differs(unanswered(seen)));
        };
        if differing.is_empty() {
            return Ok(Drift::None);
        }
        let names: Vec<&str> = differing.iter().map(|one| one.name).collect();
        let text = differing.iter().map(|one| one.shown.as_str()).collect();
        Ok(Drift::Differs(Diff::update(names.join(", ")).text(Some(text))))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let differing = Self::differing(seen).unwrap_or_default();
        if differing.is_empty() {
            return Vec::new();
        }
        let config = Answer::read(seen).and_then(|answer| meaning(answer.text(CONFIG)?));
        let port = config.and_then(|config| config.get("healthzPort")?.as_u64()).unwrap_or(10_248);
        let words = differing
            .iter()
            .flat_map(|one| [format!("{KUBELET}/{}", one.name), one.wanted.len().to_string()]);
        let texts: String = differing.iter().map(|one| one.wanted.as_str()).collect();
        let cmd = Cmd::shell(WRITE)
            .arg(port.to_string())
            .args(words)
            .stdin(Input::Bytes(texts.into_bytes()))
            .within(Duration::from_secs(180));
        vec![Change::new("write the kubelet's configuration, and restart it", cmd)]
    }

    fn disruption(&self, seen: &Output) -> Option<Disruption> {
        let differs = Self::differing(seen).is_some_and(|differing| !differing.is_empty());
        differs.then(|| Disruption::Restart("kubelet.service".to_owned()))
    }

    fn explain(&self, seen: &Output) -> Option<String> {
        Some(unanswered(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    const ARGS: &str = "KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.1\"\n";
    const RUNTIME: &str = "containerRuntimeEndpoint: \"unix:///x.sock\"\n";

    fn seen(config: &str, args: &str) -> Output {
        let wanted = "kind: KubeletConfiguration\nrotateCertificates: true\nhealthzPort: 10248\n";
        let parts = [
            (CONFIG.to_owned(), wanted),
            (INSTANCE.to_owned(), RUNTIME),
            (FLAGS.to_owned(), ARGS),
            (format!("{KUBELET}/{CONFIG}"), config),
            (format!("{KUBELET}/{INSTANCE}"), RUNTIME),
            (format!("{KUBELET}/{FLAGS}"), args),
        ];
        let parts: Vec<String> =
            parts.iter().map(|(name, text)| format!("==> {name} <==\n{text}")).collect();
        answer(&parts.join("\n"))
    }

    fn kubelet() -> KubeletFiles {
        KubeletFiles { dry_run: DryRun { configuration: String::new(), objects: false } }
    }

    fn summary(seen: &Output) -> String {
        match kubelet().compare(seen).unwrap() {
            Drift::None => String::new(),
            Drift::Differs(diff) => format!("{}\n{}", diff.summary, diff.text.unwrap_or_default()),
        }
    }

    #[test]
    fn order_and_taints_of_the_registration_mean_nothing() {
        let config = "healthzPort: 10248\nfailCgroupV1: false\nrotateCertificates: true\n\
                      kind: KubeletConfiguration\n";
        let args =
            "KUBELET_KUBEADM_ARGS=\"--register-with-taints=a=b:NoSchedule --node-ip=10.0.0.1\"\n";
        assert_eq!(summary(&seen(config, args)), "");
        assert!(kubelet().converge(&seen(config, args)).is_empty());
    }

    #[test]
    fn an_edited_configuration_is_shown_and_written_with_a_restart() {
        let config = "kind: KubeletConfiguration\nrotateCertificates: false\nhealthzPort: 10248\n";
        let seen = seen(config, "KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.2\"\n");
        let shown = summary(&seen);
        assert!(shown.starts_with("config.yaml, kubeadm-flags.env\n"), "{shown}");
        assert!(shown.contains("-rotateCertificates: false\n+rotateCertificates: true"), "{shown}");
        let changes = kubelet().converge(&seen);
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        let words = &change.cmd.words()[4..];
        assert_eq!(words[..2], ["10248", "/var/lib/kubelet/config.yaml"]);
        let sizes: usize =
            [&words[2], &words[4]].iter().map(|size| size.parse::<usize>().unwrap()).sum();
        let Input::Bytes(bytes) = change.cmd.input() else { panic!("no files") };
        assert_eq!(bytes.len(), sizes);
        assert!(kubelet().disruption(&seen).is_some());
    }

    #[test]
    fn nothing_is_written_that_kubeadm_did_not_say() {
        for silent in
            [answer("==> config.yaml <==\na: 1\n"), answer(""), Output { code: 3, ..answer("x") }]
        {
            assert_ne!(kubelet().compare(&silent).unwrap(), Drift::None);
            assert!(kubelet().converge(&silent).is_empty());
            assert_eq!(kubelet().disruption(&silent), None);
        }
    }
}
