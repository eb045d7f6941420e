//! Whether nodes can be taken out of the cluster.

use super::finding::{Check, Finding, Severity};
use crate::cluster::{Cluster, Leaving, Role};
use crate::diagnostic::printable;
use crate::survey::Survey;

pub(super) const REMOVAL: Check = Check {
    name: "removal",
    severity: Severity::Error,
    of: "nodes that are taken out",
    about: "A node cannot be taken out of the cluster, or not now. A control plane stays, and of etcd's \
            members a majority must answer, before and afterwards. Pods of a node that is not Ready cannot be \
            moved, and may go on where nobody sees them: that it shall go even so, a person says.",
    todo: "mend what is said",
};

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let Some(first) = cluster.leaving.first() else { return Vec::new() };
    if survey.identity.is_none() {
        let why = format!("{}: there is no cluster to take it out of", printable(&first.name));
        return vec![REMOVAL.overall(why)];
    }
    let mut found: Vec<String> =
        cluster.leaving.iter().filter_map(|leaving| alone(leaving, survey)).collect();
    if cluster.with_role(Role::ControlPlane).next().is_none() {
        found.push("no control plane of the inventory would be left".to_owned());
    } else {
        found.extend(quorum(cluster, survey));
    }
    found.into_iter().map(|what| REMOVAL.overall(what)).collect()
}

/// What is in the way of one of them.
fn alone(leaving: &Leaving, survey: &Survey) -> Option<String> {
    let name = printable(&leaving.name);
    match survey.listed(&leaving.name) {
        Some(listed) if !listed.ready && !leaving.even_silent => Some(format!(
            "{name} is not Ready: its pods cannot be moved, and may go on running; --force is for a machine that \
                 is off for good"
        )),
        None if leaving.node.is_none() && survey.member_named(&leaving.name).is_none() => {
            Some(format!("{name} is no node of the inventory, and none of the cluster"))
        }
        _ => None,
    }
}

/// What etcd cannot bear of it. A majority of all decides that a member goes, and those that are left go on only
/// with a majority of themselves (etcd's FAQ, "What is failure tolerance?").
fn quorum(cluster: &Cluster, survey: &Survey) -> Option<String> {
    let go = cluster
        .leaving
        .iter()
        .filter(|leaving| survey.member_named(&leaving.name).is_some_and(|member| member.votes()));
    let go: Vec<&Leaving> = go.collect();
    let (voters, answering) = (survey.voters()?, survey.answering());
    let left = voters.saturating_sub(go.len());
    let of_left =
        answering.saturating_sub(go.iter().filter(|one| survey.etcd_answers(&one.name)).count());
    let needed = |voters: usize| voters / 2 + 1;
    if go.is_empty() || (answering >= needed(voters) && of_left >= needed(left)) {
        return None;
    }
    Some(format!(
        "etcd would lose its quorum: {answering} of its {voters} voting members answer, {} must; of the {left} that \
         are left {of_left}, {} must",
        needed(voters),
        needed(left),
    ))
}
