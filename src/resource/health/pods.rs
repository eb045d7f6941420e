//! Pods that are not ready, and why.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{because, condition, is, name_of, text};

/// The pods of `kube-system`, and what was warned of.
pub(super) struct Pods<'a> {
    pub(super) pods: Vec<&'a Value>,
    pub(super) events: &'a [Value],
}

/// Longer messages are cut: a kubelet may put a whole log into one.
const LONGEST: usize = 300;

impl Pods<'_> {
    /// Why the static pod `name` is not ready; `None` if it is.
    pub(super) fn not_ready(&self, name: &str) -> Option<String> {
        let Some(pod) = self.pods.iter().find(|pod| name_of(pod) == name) else {
            return Some(format!("pod {name} is not there"));
        };
        (!is(pod, "Ready")).then(|| format!("pod {name} is not ready{}", because(&self.why(pod))))
    }

    /// What a Deployment or DaemonSet lacks, and why. What should run on `gone` nodes is not missed.
    pub(super) fn not_whole(&self, workload: &Value, gone: &BTreeSet<&str>) -> Option<String> {
        let number = |path: &str| workload.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let everywhere = workload.pointer("/status/desiredNumberScheduled").is_some();
        let (want, have) = if everywhere {
            let want = number("/status/desiredNumberScheduled");
            (want.saturating_sub(gone.len() as u64), number("/status/numberReady"))
        } else {
            (number("/spec/replicas"), number("/status/readyReplicas"))
        };
        let current = number("/metadata/generation") == number("/status/observedGeneration");
        if have >= want && current {
            return None;
        }
        let whole = format!(
            "{}/{}: {have} of {want} ready",
            text(workload, "/metadata/namespace"),
            name_of(workload)
        );
        let ill = self.pods.iter().filter(|pod| {
            owns(workload, pod) && !is(pod, "Ready") && !gone.contains(text(pod, "/spec/nodeName"))
        });
        let reasons: BTreeSet<String> = ill
            .map(|pod| {
                let place = match text(pod, "/spec/nodeName") {
                    "" => "on no node".to_owned(),
                    node => format!("on {node}"),
                };
                format!("{place}{}", because(&self.why(pod)))
            })
            .collect();
        let reasons: Vec<String> = reasons.into_iter().collect();
        Some(if reasons.is_empty() { whole } else { format!("{whole} ({})", reasons.join("; ")) })
    }

    /// Why a pod is not ready, as far as its status, and what was warned of, tell.
    fn why(&self, pod: &Value) -> String {
        let mut why = waits(pod).or_else(|| {
            let open = ["PodScheduled", "Initialized", "Ready"].into_iter();
            let mut open = open.filter_map(|wanted| condition(pod, wanted));
            let open = open.find(|condition| text(condition, "/status") != "True")?;
            Some(first_of(text(open, "/message"), text(open, "/reason")).to_owned())
        });
        if let Some(warning) = self.warning(pod) {
            why = Some(match why {
                Some(why) if why.is_empty() || warning.contains(&why) => warning,
                Some(why) => format!("{why}; last warning: {warning}"),
                None => warning,
            });
        }
        cut(&why.unwrap_or_default())
    }

    /// What was warned of last about a pod.
    fn warning(&self, pod: &Value) -> Option<String> {
        let about = self.events.iter().filter(|event| {
            text(event, "/involvedObject/name") == name_of(pod)
                && text(event, "/involvedObject/kind") == "Pod"
        });
        // RFC 3339 in UTC sorts as text.
        let time = |event: &&Value| {
            first_of(text(event, "/lastTimestamp"), text(event, "/eventTime")).to_owned()
        };
        let last = about.max_by_key(time)?;
        Some(format!("{}: {}", text(last, "/reason"), text(last, "/message")))
    }
}

fn first_of<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.is_empty() { other } else { one }
}

fn cut(why: &str) -> String {
    let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// Whether a workload's selector means that pod.
fn owns(workload: &Value, pod: &Value) -> bool {
    let wanted = workload.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels = pod.pointer("/metadata/labels");
    wanted.is_some_and(|wanted| {
        !wanted.is_empty()
            && wanted.iter().all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
    })
}

/// What the first container that does not run waits for.
fn waits(pod: &Value) -> Option<String> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    statuses.filter_map(waits_for).next()
}

fn waits_for(status: &Value) -> Option<String> {
    let waiting = status.pointer("/state/waiting")?;
    let (name, reason) = (name_of_container(status), text(waiting, "/reason"));
    let ended = status.pointer("/lastState/terminated");
    let message = match ended {
        // The kubelet's own message says how long it waits now, which is another at each look.
        Some(ended) if reason == "CrashLoopBackOff" => {
            let code = ended.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
            let said = first_of(text(ended, "/message"), text(ended, "/reason"));
            format!("it ended with exit code {code}{}", because(said))
        }
        _ => text(waiting, "/message").to_owned(),
    };
    Some(format!("{name}{reason}{}", because(&message)))
}

fn name_of_container(status: &Value) -> String {
    match text(status, "/name") {
        "" => String::new(),
        name => format!("container {name}: "),
    }
}
