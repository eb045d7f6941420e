//! Whether nodes can be cordoned, drained or uncordoned.

use super::finding::{Check, Finding, Severity};
use crate::cluster::Cluster;
use crate::diagnostic::printable;
use crate::survey::Survey;

pub(super) const MAINTENANCE: Check = Check {
    name: "maintenance",
    severity: Severity::Error,
    of: "nodes that are cordoned, drained or uncordoned",
    about: "The cluster has no node of that name.",
    todo: "`kubectl get nodes` has the names",
};

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let unknown = cluster.maintained.iter().filter(|name| survey.listed(name).is_none());
    let found = |name: &String| {
        MAINTENANCE.overall(format!("{} is no node of the cluster", printable(name)))
    };
    unknown.map(found).collect()
}
