//! A plan's blast radius: what carrying it out disturbs, at worst.

use super::{Plan, Planned};
use crate::resource::Disruption;

/// What a plan disturbs beside what it changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Radius<'a> {
    /// Units that restart, each with its nodes.
    pub restarts: Vec<(&'a str, Vec<&'a str>)>,
    /// What etcd can bear meanwhile; `None`: no member of a living cluster's etcd answered.
    pub etcd: Option<Etcd>,
}

/// What etcd can bear while a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Etcd {
    /// Voting members now.
    pub voters: usize,
    /// Voting members in the end.
    pub then: usize,
    /// How many members may fail at the worst moment without the quorum being lost.
    pub may_fail: usize,
}

impl Etcd {
    /// Of `voters`, `leaving` are reset, before `joining` others join.
    ///
    /// Of n members a majority must live, so (n - 1) / 2 may fail (etcd's FAQ, "What is failure
    /// tolerance?"). Joins go one by one and each adds a member that has caught up, since a learner
    /// has no vote: n only grows, and the worst moment is the one before the first of them.
    #[must_use]
    pub fn new(voters: usize, leaving: usize, joining: usize) -> Self {
        let fewest = voters.saturating_sub(leaving);
        Self { voters, then: fewest + joining, may_fail: fewest.saturating_sub(1) / 2 }
    }
}

impl Plan {
    /// What carrying it out disturbs.
    #[must_use]
    pub fn radius(&self) -> Radius<'_> {
        let mut restarts: Vec<(&str, Vec<&str>)> = Vec::new();
        for (node, _, one) in self.resources() {
            let Some(Disruption::Restart(unit)) = &one.disruption else { continue };
            match restarts.iter_mut().find(|(other, _)| other == unit) {
                Some((_, nodes)) => nodes.push(node),
                None => restarts.push((unit, vec![node])),
            }
        }
        let etcd = self.voters.as_ref().map(|voters| {
            let voter = |node: &str| voters.iter().any(|voter| voter == node);
            let resets = self
                .resources()
                .filter(|(node, _, one)| one.disruption == Some(Disruption::Reset) && voter(node));
            let joins = |one: &Planned| one.disruption == Some(Disruption::Voter);
            let joining = self.resources().filter(|(.., one)| joins(one)).count();
            Etcd::new(voters.len(), resets.count(), joining)
        });
        Radius { restarts, etcd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_can_bear() {
        for (voters, leaving, joining, then, may_fail) in [
            // A new cluster bears nothing until its third member votes.
            (0, 0, 1, 1, 0),
            (0, 0, 3, 3, 0),
            // An unfinished init is started again.
            (1, 1, 3, 3, 0),
            // Nothing changes on control planes.
            (1, 0, 0, 1, 0),
            (2, 0, 0, 2, 0),
            (3, 0, 0, 3, 1),
            (4, 0, 0, 4, 1),
            (5, 0, 0, 5, 2),
            // Joins.
            (1, 0, 2, 3, 0),
            (2, 0, 1, 3, 0),
            (3, 0, 2, 5, 1),
            // A member is replaced.
            (3, 1, 1, 3, 0),
            (5, 1, 1, 5, 1),
        ] {
            let expected = Etcd { voters, then, may_fail };
            assert_eq!(Etcd::new(voters, leaving, joining), expected);
        }
    }
}
