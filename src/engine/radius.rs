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

/// What becomes of etcd's voting members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// How many are removed that are dead.
    pub dead: usize,
    /// How many are removed that live.
    pub alive: usize,
    /// How many join, before any is removed.
    pub joining: usize,
    /// Whether members restart in the end, one after the other.
    pub restarts: bool,
}

impl Etcd {
    /// What can be borne at the worst moment of `moves`.
    ///
    /// Of n members a majority must live, so as many may fail as live beyond it (etcd's FAQ, "What is
    /// failure tolerance?"). A dead member that is removed makes the majority smaller, and each that
    /// joins has caught up, since a learner has no vote: the worst moment is the first, that in which
    /// a member restarts, or the one after the last that lived has left.
    #[must_use]
    pub fn new(voters: Voters, moves: Moves) -> Self {
        let Voters { count, answering } = voters;
        let then = count.saturating_sub(moves.dead + moves.alive) + moves.joining;
        let answering_then = answering.saturating_sub(moves.alive) + moves.joining;
        let spare = |answering: usize, count: usize| answering.saturating_sub(count / 2 + 1);
        let mut may_fail = spare(answering, count);
        if moves.alive > 0 {
            may_fail = may_fail.min(spare(answering_then, then));
        }
        if moves.restarts {
            may_fail = may_fail.min(spare(answering_then.saturating_sub(1), then));
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
        let disruptions = || self.resources().filter_map(|(.., one)| one.disruption.as_ref());
        let count = |disruption| disruptions().filter(|one| **one == disruption).count();
        let drains = disruptions().filter_map(|one| match one {
            Disruption::Drain(node) => Some(node.as_str()),
            _ => None,
        });
        let drains = drains.collect();
        let etcd = self.voters.map(|voters| {
            let leaves = |alive| count(Disruption::VoterLeaves { alive });
            let member = Disruption::Restart(ETCD.to_owned());
            let moves = Moves {
                dead: leaves(false),
                alive: leaves(true),
                joining: count(Disruption::Voter),
                restarts: count(member) > 0,
            };
            Etcd::new(voters, moves)
        });
        Radius { restarts, drains, etcd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_can_bear() {
        for (count, answering, dead, joining, then, may_fail) in [
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
            let moves = Moves { dead, joining, ..Moves::default() };
            assert_eq!(Etcd::new(Voters { count, answering }, moves), expected);
        }
    }

    #[test]
    fn a_member_that_leaves_takes_its_vote_along() {
        for (count, answering, alive, then, may_fail) in
            [(3, 3, 1, 2, 0), (5, 5, 1, 4, 1), (5, 5, 2, 3, 1), (2, 2, 1, 1, 0), (5, 4, 1, 4, 0)]
        {
            let moves = Moves { alive, ..Moves::default() };
            let etcd = Etcd::new(Voters { count, answering }, moves);
            assert_eq!((etcd.then, etcd.may_fail), (then, may_fail), "{alive} of {count} leave");
        }
    }

    #[test]
    fn a_member_that_restarts_is_one_that_fails() {
        for (count, answering, joining, may_fail) in
            [(1, 1, 0, 0), (3, 3, 0, 0), (3, 2, 0, 0), (5, 5, 0, 1), (5, 4, 0, 0), (3, 3, 2, 1)]
        {
            let moves = Moves { joining, restarts: true, ..Moves::default() };
            let etcd = Etcd::new(Voters { count, answering }, moves);
            assert_eq!(etcd.may_fail, may_fail, "{answering} of {count}, {joining} join");
        }
    }
}
