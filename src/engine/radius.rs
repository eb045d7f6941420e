//! A plan's blast radius: what carrying it out disturbs, at worst.

use super::{Plan, Voters};
use crate::resource::{Disruption, ETCD};

/// What a plan disturbs beside what it changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Radius<'a> {
    /// Units that restart, each with its nodes.
    pub restarts: Vec<(&'a str, Vec<&'a str>)>,
    /// Nodes whose pods go elsewhere.
    pub drains: Vec<&'a str>,
    /// How many failures etcd tolerates meanwhile; `None`: no member of a living cluster's etcd answered.
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
    /// Of the voters, `leaving` are removed, which are dead; before that, `joining` others join; in the
    /// end members restart one after the other, if any does.
    ///
    /// Of n members a majority must live, so as many may fail as live beyond it (etcd's FAQ, "What is
    /// failure tolerance?"). A dead member that is removed makes the majority smaller, and each that
    /// joins has caught up, since a learner has no vote: the worst moment is the first, or that in which
    /// a member restarts.
    #[must_use]
    pub fn new(voters: Voters, leaving: usize, joining: usize, restarts: bool) -> Self {
        let Voters { count, answering } = voters;
        let then = count.saturating_sub(leaving) + joining;
        let spare = |answering: usize, count: usize| answering.saturating_sub(count / 2 + 1);
        let mut may_fail = spare(answering, count);
        if restarts {
            may_fail = may_fail.min(spare((answering + joining).saturating_sub(1), then));
        }
        Self { voters: count, then, may_fail }
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
        let nodes = |disruption: Disruption| -> Vec<_> {
            let of =
                self.resources().filter(|(.., one)| one.disruption.as_ref() == Some(&disruption));
            of.map(|(node, ..)| node).collect()
        };
        let count = |disruption| nodes(disruption).len();
        let drains = nodes(Disruption::Drain);
        let etcd = self.voters.map(|voters| {
            let (leaving, joining) = (count(Disruption::VoterLeaves), count(Disruption::Voter));
            let member = Disruption::Restart(ETCD.to_owned());
            Etcd::new(voters, leaving, joining, count(member) > 0)
        });
        Radius { restarts, drains, etcd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_can_bear() {
        for (count, answering, leaving, joining, then, may_fail) in [
            // A new cluster bears nothing until its third member votes.
            (0, 0, 0, 1, 1, 0),
            (0, 0, 0, 3, 3, 0),
            // Nothing changes on control planes.
            (1, 1, 0, 0, 1, 0),
            (2, 2, 0, 0, 2, 0),
            (3, 3, 0, 0, 3, 1),
            (4, 4, 0, 0, 4, 1),
            (5, 5, 0, 0, 5, 2),
            // One is silent.
            (3, 2, 0, 0, 3, 0),
            (5, 4, 0, 0, 5, 1),
            // The quorum is lost.
            (3, 1, 0, 0, 3, 0),
            // Joins.
            (1, 1, 0, 2, 3, 0),
            (2, 2, 0, 1, 3, 0),
            (3, 3, 0, 2, 5, 1),
            // A dead member is replaced.
            (3, 2, 1, 1, 3, 0),
            (5, 4, 1, 1, 5, 1),
        ] {
            let expected = Etcd { voters: count, then, may_fail };
            assert_eq!(Etcd::new(Voters { count, answering }, leaving, joining, false), expected);
        }
    }

    #[test]
    fn a_member_that_restarts_is_one_that_fails() {
        for (count, answering, joining, may_fail) in
            [(1, 1, 0, 0), (3, 3, 0, 0), (3, 2, 0, 0), (5, 5, 0, 1), (5, 4, 0, 0), (3, 3, 2, 1)]
        {
            let etcd = Etcd::new(Voters { count, answering }, 0, joining, true);
            assert_eq!(etcd.may_fail, may_fail, "{answering} of {count}, {joining} join");
        }
    }
}
