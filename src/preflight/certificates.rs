//! When the certificates that kubeadm makes for control planes expire: a year after it made them.

use super::finding::{Check, Finding, Severity};
use super::{list, membership};
use crate::diagnostic::printable;
use crate::survey::Survey;

pub(super) const ENDING: Check = Check {
    name: "certificates-end",
    severity: Severity::Warning,
    of: "control planes",
    about: "Certificates that kubeadm made on a control plane expire within 30 days, by the node's own \
            clock. slipway does not renew them yet.",
    todo: "run `kubeadm certs renew all` on the node, then restart its static pods: move the \
           files of /etc/kubernetes/manifests to another directory for half a minute, and back; one control \
           plane after the other",
};
pub(super) const ENDED: Check = Check {
    name: "certificates-ended",
    severity: Severity::Error,
    of: "control planes",
    about: "Certificates that kubeadm made on a control plane have expired: its API server, its etcd \
            member or what talks to them is refused.",
    todo: ENDING.todo,
};

/// How long before expiry it is reported, in seconds.
const EARLY: i64 = 30 * 86_400;

pub(super) fn findings(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, surveyed) in &survey.nodes {
        let facts = &surveyed.facts;
        let Some(now) = facts.machine.clock.last() else { continue };
        let (ended, rest): (Vec<_>, Vec<_>) =
            facts.certificates.iter().partition(|(_, end)| *end <= now);
        let ending: Vec<_> = rest.into_iter().filter(|(_, end)| *end <= now + EARLY).collect();
        if !ended.is_empty() {
            let what = format!("the certificates of {} have expired", files(&ended));
            findings.push(ENDED.on(name, what));
        }
        if let Some(first) = ending.iter().map(|(_, end)| end - now).min() {
            let days = first / 86_400;
            let what =
                format!("the certificates of {} expire, the first in {days} days", files(&ending));
            findings.push(ENDING.on(name, what));
        }
    }
    findings
}

fn files(certificates: &[&(String, i64)]) -> String {
    list(&certificates.iter().map(|(file, _)| printable(file)).collect::<Vec<_>>())
}

/// Control planes with expired certificates run but do not answer: starting them does not help.
pub(super) fn advise(findings: &mut [Finding]) {
    if findings.iter().any(|one| one.check == ENDED.name) {
        let silent = findings.iter_mut().filter(|one| one.check == membership::NO_API.name);
        silent.for_each(|one| "renew the expired certificates".clone_into(&mut one.todo));
    }
}
