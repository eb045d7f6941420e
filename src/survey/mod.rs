//! Who are we dealing with: every node's facts and membership, the cluster's identity, the leader.
//!
//! All of it comes from one look at each node before any step; what a node printed is untrusted and
//! parsed with limits. [`preflight`] then judges everything at once.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Role};
use crate::diagnostic::{Error, Kind, Result};
use crate::pki::Identity;

mod facts;
mod preflight;

pub use facts::Facts;
pub use preflight::preflight;

/// What all nodes said.
#[derive(Debug)]
pub struct Survey {
    /// Per node.
    pub nodes: BTreeMap<String, Surveyed>,
    /// The control plane that acts for the cluster: a member whose API answers, else the first of
    /// the inventory.
    pub leader: String,
    /// The cluster that was found, if any.
    pub identity: Option<Identity>,
    /// The `ClusterConfiguration` that kubeadm keeps in the living cluster.
    pub configuration: Option<String>,
}

/// What one node said.
#[derive(Debug)]
pub struct Surveyed {
    /// Its facts.
    pub facts: Facts,
    /// Its part in a cluster.
    pub membership: Membership,
}

/// A node's part in a cluster, judged by live state, not by one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// Nothing of Kubernetes is there.
    Absent,
    /// Something is there, but the node is no working member; what was found.
    Partial(String),
    /// A member: files, Node object, and for a control plane a voting etcd member.
    Member,
    /// Another cluster's.
    Foreign(Identity),
    /// Bare, while the cluster still lists a node (or etcd member) of its name.
    Stale,
}

impl Survey {
    /// Judges all `facts`. `own` is the identity in the operator's state, if there is one.
    ///
    /// # Errors
    /// When a certificate on a node cannot be read, or two clusters are found.
    pub fn new(
        cluster: &Cluster,
        own: Option<&Identity>,
        facts: BTreeMap<String, Facts>,
    ) -> Result<Self> {
        let identity = identity(own, &facts)?;
        let control_planes = || cluster.with_role(Role::ControlPlane).map(|node| &node.name);
        let views: Vec<(&String, &Facts)> =
            control_planes().filter_map(|name| Some((name, facts.get(name)?))).collect();
        let answers = |facts: &Facts| facts.api_nodes.is_some() && facts.identity == identity;
        let view = views.iter().find(|(name, facts)| {
            answers(facts)
                && facts.api_nodes.as_ref().is_some_and(|nodes| nodes.contains_key(*name))
        });
        let first = control_planes().next();
        let leader = view.map(|(name, _)| *name).or(first).cloned().unwrap_or_default();
        let configuration = view.and_then(|(_, facts)| facts.configuration.clone());
        let view = view.map(|(_, facts)| *facts);
        let voters = views.iter().find_map(|(_, f)| f.etcd_voters.as_ref().filter(|_| answers(f)));
        let mut nodes = BTreeMap::new();
        for node in &cluster.nodes {
            let facts = facts.get(&node.name).cloned();
            let facts = facts.ok_or_else(|| Error::new(Kind::Bug, "a node without facts"))?;
            let membership =
                membership(&node.name, node.role, &facts, identity.as_ref(), view, voters);
            nodes.insert(node.name.clone(), Surveyed { facts, membership });
        }
        Ok(Self { nodes, leader, identity, configuration })
    }

    /// That node's facts.
    #[must_use]
    pub fn facts(&self, node: &str) -> Option<&Facts> {
        self.nodes.get(node).map(|surveyed| &surveyed.facts)
    }

    /// That node's part.
    #[must_use]
    pub fn membership(&self, node: &str) -> Option<&Membership> {
        self.nodes.get(node).map(|surveyed| &surveyed.membership)
    }

    /// Whether that node is a member.
    #[must_use]
    pub fn is_member(&self, node: &str) -> bool {
        self.membership(node) == Some(&Membership::Member)
    }

    /// Whether any node of the inventory is a member.
    #[must_use]
    pub fn any_member(&self) -> bool {
        self.nodes.keys().any(|node| self.is_member(node))
    }
}

/// The one cluster whose certificates are on the nodes; the operator's own first, so that another
/// is known as foreign.
fn identity(own: Option<&Identity>, facts: &BTreeMap<String, Facts>) -> Result<Option<Identity>> {
    let mut found: BTreeMap<&Identity, Vec<&str>> = BTreeMap::new();
    for (name, facts) in facts {
        if let Some(identity) = &facts.identity {
            found.entry(identity).or_default().push(name);
        }
    }
    match (own, found.len()) {
        (Some(own), _) => Ok(Some(own.clone())),
        (None, 0) => Ok(None),
        (None, 1) => Ok(found.into_keys().next().cloned()),
        (None, _) => {
            let mut error =
                Error::new(Kind::Preflight, "the nodes carry certificates of different clusters");
            for (identity, nodes) in found {
                error = error.note(format!("{identity}: {}", nodes.join(", ")));
            }
            Err(error.hint("an inventory describes one cluster; nothing was changed"))
        }
    }
}

fn membership(
    name: &str,
    role: Role,
    facts: &Facts,
    identity: Option<&Identity>,
    view: Option<&Facts>,
    voters: Option<&Vec<String>>,
) -> Membership {
    if let Some(theirs) = &facts.identity
        && Some(theirs) != identity
    {
        return Membership::Foreign(theirs.clone());
    }
    let listed =
        view.and_then(|view| view.api_nodes.as_ref()).map(|nodes| nodes.contains_key(name));
    let votes = voters.map(|voters| voters.iter().any(|voter| voter == name));
    let has = |file: &str| facts.files.iter().any(|f| f == file);
    let needed: &[&str] = match role {
        Role::Worker => &["pki/ca.crt", "kubelet.conf"],
        Role::ControlPlane => &[
            "pki/ca.crt",
            "kubelet.conf",
            "admin.conf",
            "manifests/kube-apiserver.yaml",
            "manifests/etcd.yaml",
            "etcd-data",
        ],
    };
    // Shared keys alone are no membership: they are written before the join.
    let bare = facts.files.iter().all(|file| file == "pki/ca.crt");
    if bare {
        let stale = listed == Some(true) || (role == Role::ControlPlane && votes == Some(true));
        return if stale { Membership::Stale } else { Membership::Absent };
    }
    let lacking: Vec<&str> = needed.iter().copied().filter(|file| !has(file)).collect();
    if !lacking.is_empty() {
        return Membership::Partial(format!("{} missing", lacking.join(", ")));
    }
    // Where no API answers, whole files are the best there is: never a reason to start over.
    match (listed, votes, role) {
        (Some(false), _, _) => Membership::Partial("no Node object in the cluster".to_owned()),
        (_, Some(false), Role::ControlPlane) => {
            Membership::Partial("no voting etcd member".to_owned())
        }
        _ => Membership::Member,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(of: &str) -> Identity {
        format!("sha256:{}", crate::resource::sha256(of.as_bytes())).parse().unwrap()
    }

    fn facts(files: &[&str], cluster: Option<&str>) -> Facts {
        Facts {
            files: files.iter().map(|f| (*f).to_owned()).collect(),
            identity: cluster.map(identity),
            ..Facts::default()
        }
    }

    const WHOLE: &[&str] = &[
        "pki/ca.crt",
        "kubelet.conf",
        "admin.conf",
        "manifests/kube-apiserver.yaml",
        "manifests/etcd.yaml",
        "etcd-data",
    ];

    fn judge(facts: &Facts, listed: Option<bool>, votes: Option<bool>) -> Membership {
        let names = |there: bool| if there { vec!["n"] } else { vec![] };
        let view = listed.map(|there| Facts {
            api_nodes: Some(
                names(there).into_iter().map(|n| (n.to_owned(), String::new())).collect(),
            ),
            ..Facts::default()
        });
        let voters = votes.map(|there| names(there).into_iter().map(str::to_owned).collect());
        let own = identity("ours");
        membership("n", Role::ControlPlane, facts, Some(&own), view.as_ref(), voters.as_ref())
    }

    #[test]
    fn membership_is_judged_by_all_of_files_api_and_etcd() {
        let ours = Some("ours");
        let bare = facts(&[], None);
        assert_eq!(judge(&bare, None, None), Membership::Absent);
        assert_eq!(judge(&facts(&["pki/ca.crt"], ours), Some(false), None), Membership::Absent);
        assert_eq!(judge(&bare, Some(true), Some(false)), Membership::Stale);
        assert_eq!(judge(&bare, Some(false), Some(true)), Membership::Stale);
        assert_eq!(judge(&facts(WHOLE, ours), Some(true), Some(true)), Membership::Member);
        assert_eq!(judge(&facts(WHOLE, ours), None, None), Membership::Member);
        assert!(matches!(
            judge(&facts(WHOLE, ours), Some(true), Some(false)),
            Membership::Partial(_)
        ));
        assert!(matches!(judge(&facts(WHOLE, ours), Some(false), None), Membership::Partial(_)));
        assert!(matches!(judge(&facts(&WHOLE[..3], ours), None, None), Membership::Partial(_)));
        assert!(matches!(judge(&facts(WHOLE, Some("x")), None, None), Membership::Foreign(_)));
    }
}
