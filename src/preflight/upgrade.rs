//! Whether a living cluster can become the version that the inventory says.

use semver::Version;

use super::finding::{Check, Finding, Severity};
use crate::cluster::Cluster;
use crate::diagnostic::printable;
use crate::survey::Survey;

pub(super) const UPGRADE: Check = Check {
    name: "upgrade",
    severity: Severity::Error,
    of: "the living cluster",
    about: "The cluster cannot become the version that the inventory says, or not as it is now. Kubernetes goes up one \
            minor version at a time, and never down; kubelets are at most three minor versions older than the \
            API (kubernetes.io, \"Version Skew Policy\"); every control plane of the cluster goes with it, and etcd \
            must bear that one of its members restarts.",
    todo: "mend what is said, or write the version that the cluster has (`spec.kubernetes.version`); then upgrade",
};

/// How many minor versions a kubelet may be older than the API.
const KUBELETS: u64 = 3;

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let (Some(now), meant) = (&survey.kubernetes, &cluster.kubernetes) else { return Vec::new() };
    if now == meant {
        return Vec::new();
    }
    let to = format!("v{meant}");
    let mut found = Vec::new();
    found.extend(step(now, meant));
    let yet_to_join = |name: &&String| !survey.is_member(name) && !cluster.leaves(name);
    for name in survey.nodes.keys().filter(yet_to_join) {
        found.push(format!("{name} is no member yet: nodes join before an upgrade or after it"));
    }
    for member in &survey.beyond {
        found.push(format!(
            "{} is a member and not in the inventory: its version would stay",
            printable(&member.name)
        ));
    }
    for node in &cluster.nodes {
        let Some(kubelet) = survey.kubelet_version(&node.name) else { continue };
        if kubelet.minor + KUBELETS < meant.minor {
            found
                .push(format!("{}'s kubelet is v{kubelet}, too old for an API of {to}", node.name));
        }
    }
    let (voters, answering) = (survey.voters().unwrap_or(0), survey.answering());
    if answering < voters {
        let needed = voters / 2 + 1;
        found.push(format!(
            "{answering} of etcd's {voters} voting members answer, {needed} must, and each of them restarts once"
        ));
    }
    found.into_iter().map(|what| UPGRADE.overall(what)).collect()
}

/// Why no apply leads from one version to the other.
fn step(now: &Version, meant: &Version) -> Option<String> {
    if (now.major, now.minor, now.patch) > (meant.major, meant.minor, meant.patch) {
        return Some(format!("the cluster has v{now}, which is newer than v{meant}"));
    }
    (now.major != meant.major || now.minor + 1 < meant.minor).then(|| {
        format!("from v{now} to v{meant} minor versions would be left out: upgrade to one of v{}.{} first", now.major, now.minor + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_minor_version_up_at_a_time() {
        for (now, meant, possible) in [
            ("1.36.5", "1.37.2", true),
            ("1.37.1", "1.37.2", true),
            ("1.36.5", "1.36.6", true),
            ("1.35.9", "1.37.2", false),
            ("1.37.2", "1.37.1", false),
            ("1.37.2", "1.36.5", false),
            ("1.37.2", "2.0.0", false),
        ] {
            let way = step(&now.parse().unwrap(), &meant.parse().unwrap());
            assert_eq!(way.is_none(), possible, "{now} to {meant}: {way:?}");
        }
    }
}
