//! Whether nodes can be taken out of the cluster.

use super::finding::{Check, Finding, Severity};
use crate::cluster::{Cluster, Endpoint, Leaving, Role};
use crate::diagnostic::printable;
use crate::survey::Survey;

pub(super) const REMOVAL: Check = Check {
    name: "removal",
    severity: Severity::Error,
    of: "nodes that are taken out",
    about: "A node cannot be taken out of the cluster, or not now. A control plane stays, and so does the one that \
            is the endpoint; of etcd's members a majority must answer, before and afterwards. One that is Ready \
            leaves only where its machine is reached, to end its kubelet. Pods of a node that is not Ready cannot be \
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
        cluster.leaving.iter().filter_map(|leaving| alone(leaving, cluster, survey)).collect();
    if cluster.with_role(Role::ControlPlane).next().is_none() {
        found.push("no control plane of the inventory would be left".to_owned());
    } else {
        found.extend(quorum(cluster, survey));
    }
    found.into_iter().map(|what| REMOVAL.overall(what)).collect()
}

/// What is in the way of one of them.
fn alone(leaving: &Leaving, cluster: &Cluster, survey: &Survey) -> Option<String> {
    let name = printable(&leaving.name);
    let listed = survey.listed(&leaving.name);
    let reached = survey.facts(&leaving.name).is_some();
    let member = survey.member_named(&leaving.name).is_some();
    if leaving.node.is_none() && listed.is_none() && !member {
        return Some(format!("{name} is no node of the inventory, and none of the cluster"));
    }
    if is_endpoint(leaving, cluster, survey) {
        let endpoint = cluster.endpoint.authority();
        return Some(format!(
            "{name} is the cluster's endpoint, {endpoint}: clients would find no API any more"
        ));
    }
    // An earlier run may have ended the kubelet.
    let begun = reached
        && listed.is_some_and(|listed| listed.cordoned || (listed.control_plane && !member));
    match listed {
        Some(listed) if listed.ready && !reached => Some(format!(
            "{name} is Ready, and its machine is not reached: nobody would end its kubelet and its claim to the \
             endpoint. Write its line into the inventory, and let SSH reach it; or switch it off, which the cluster \
             notices within a minute, and give --force"
        )),
        Some(listed) if !listed.ready && !leaving.even_silent && !begun => Some(format!(
            "{name} is not Ready: its pods cannot be moved, and may go on running; --force is for a machine that \
             is off for good"
        )),
        None if member && !reached && !leaving.even_silent => Some(format!(
            "{name} is a member of etcd, and its machine is not reached: it may live; --force is for a machine that \
             is off for good"
        )),
        _ => None,
    }
}

/// Whether clients find the cluster at the node's own address.
fn is_endpoint(leaving: &Leaving, cluster: &Cluster, survey: &Survey) -> bool {
    let endpoint = match &cluster.endpoint {
        Endpoint::Node(address) => address.to_string(),
        Endpoint::External { host, .. } => host.clone(),
        Endpoint::Vip { .. } => return false,
    };
    let meant = leaving.node.as_ref().map(|node| node.internal.to_string());
    let known = survey.listed(&leaving.name).map(|listed| listed.internal.as_slice());
    meant.iter().chain(known.unwrap_or_default()).any(|address| *address == endpoint)
}

/// What etcd cannot bear of it. A majority of all decides that a member goes, and those that are left go on only
/// with a majority of themselves (etcd's FAQ, "What is failure tolerance?").
fn quorum(cluster: &Cluster, survey: &Survey) -> Option<String> {
    let go = cluster
        .leaving
        .iter()
        .filter(|leaving| survey.member_named(&leaving.name).is_some_and(|member| member.votes()));
    let go: Vec<&Leaving> = go.collect();
    let Some(voters) = survey.voters() else {
        return Some(
            "no control plane's etcd answers: nobody says whether it can do without".to_owned(),
        );
    };
    let answering = survey.answering();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::EtcdMember;
    use crate::steps::Context;
    use crate::survey::Listed;

    /// What is in the way of w-1: whether it is reached, how it is listed, whether a person says that it is off.
    fn of(reached: bool, listed: Option<Listed>, even_silent: bool) -> String {
        let Context { mut cluster, mut survey, .. } = Context::sample(&[], &["cp-1", "w-1"]);
        cluster.take_out(&["w-1".to_owned()], even_silent);
        if !reached {
            survey.nodes.remove("w-1");
        }
        if let Some(listed) = listed {
            survey.list("w-1", listed);
        }
        alone(&cluster.leaving[0], &cluster, &survey).unwrap_or_default()
    }

    #[test]
    fn what_lives_is_not_taken_out_where_nobody_can_end_it() {
        let ready = Listed { ready: true, ..Listed::default() };
        let silent = Listed::default();
        let begun = Listed { cordoned: true, ..Listed::default() };
        let half = Listed { control_plane: true, ..Listed::default() };
        for (reached, listed, even_silent, why) in [
            (true, Some(&ready), false, ""),
            (false, Some(&ready), false, "w-1 is Ready, and its machine is not reached"),
            (false, Some(&ready), true, "w-1 is Ready, and its machine is not reached"),
            (true, Some(&silent), false, "w-1 is not Ready"),
            (true, Some(&silent), true, ""),
            (false, Some(&silent), true, ""),
            // The run before ended its kubelet, or removed it from etcd.
            (true, Some(&begun), false, ""),
            (true, Some(&half), false, ""),
            (false, Some(&begun), false, "w-1 is not Ready"),
            (false, None, false, ""),
        ] {
            let said = of(reached, listed.cloned(), even_silent);
            assert!(
                said.starts_with(why) && said.is_empty() == why.is_empty(),
                "{listed:?}: {said}"
            );
        }
    }

    #[test]
    fn a_member_of_etcd_that_is_no_node_may_live() {
        let Context { mut cluster, mut survey, .. } =
            Context::sample(&[], &["cp-1", "cp-2", "cp-3"]);
        cluster.endpoint = Endpoint::External { host: "api.sample".to_owned(), port: 6443 };
        let (name, id) = ("cp-3".to_owned(), "a1".to_owned());
        survey.etcd =
            Some(vec![EtcdMember { id, name: name.clone(), peers: Vec::new(), learner: false }]);
        survey.nodes.remove("cp-3");
        for (even_silent, refused) in [(false, true), (true, false)] {
            let mut cluster = cluster.clone();
            cluster.take_out(std::slice::from_ref(&name), even_silent);
            let said = alone(&cluster.leaving[0], &cluster, &survey);
            assert_eq!(said.is_some(), refused, "{said:?}");
        }
    }

    #[test]
    fn the_endpoint_of_the_cluster_stays() {
        for (endpoint, refused) in [
            (Endpoint::Node("10.0.0.1".parse().unwrap()), true),
            (Endpoint::External { host: "10.0.0.1".to_owned(), port: 6443 }, true),
            (Endpoint::External { host: "10.0.0.9".to_owned(), port: 6443 }, false),
        ] {
            let Context { mut cluster, survey, .. } =
                Context::sample(&[], &["cp-1", "cp-2", "cp-3"]);
            cluster.endpoint = endpoint;
            cluster.take_out(&["cp-1".to_owned()], false);
            let said = alone(&cluster.leaving[0], &cluster, &survey).unwrap_or_default();
            assert_eq!(said.starts_with("cp-1 is the cluster's endpoint"), refused, "{said}");
        }
    }

    #[test]
    fn where_no_etcd_answers_nobody_knows_what_is_lost() {
        let Context { mut cluster, survey, .. } = Context::sample(&[], &["cp-1", "w-1"]);
        cluster.take_out(&["w-1".to_owned()], false);
        assert!(quorum(&cluster, &survey).unwrap().starts_with("no control plane's etcd answers"));
    }
}
