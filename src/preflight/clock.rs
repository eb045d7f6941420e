//! Clocks: those of all nodes, and of this machine.

use crate::cluster::Cluster;
use crate::survey::{Ahead, Survey, THIS_MACHINE};

use super::finding::{ALL, Check, Finding, Severity};

pub(super) const CLOCK: Check = Check {
    name: "clock",
    severity: Severity::Warning,
    of: ALL,
    about: "A clock is more than a second off most others, of the nodes and of the machine that \
            slipway runs on. What is counted is only what the look itself cannot explain.",
    todo: "nothing, if chrony reaches a time server once slipway has started it; `spec.time.servers` \
           names others than the distribution's",
};

pub(super) const CLOCK_STUCK: Check = Check {
    name: "clock-stuck",
    severity: Severity::Error,
    of: ALL,
    about: "A clock is more than five minutes off most others, and slipway will not set it: chrony \
            runs there and has not, or it is the clock of the machine that slipway runs on. \
            Certificates would not be valid yet: the cluster's signer dates them back by five \
            minutes (`Backdate` in Kubernetes' `signer.go`).",
    todo: "set the clock: on a node, look at `chronyc sources`, then `chronyc makestep`",
};

/// Less is not worth a word. In ns.
const NOTICED: i64 = 1_000_000_000;
/// More makes fresh certificates invalid; see [`CLOCK_STUCK`]. In ns.
const HARMFUL: i64 = 300_000_000_000;

pub(super) fn findings(cluster: &Cluster, survey: &Survey) -> Vec<Finding> {
    let nodes = survey.nodes.iter().filter_map(|(name, one)| {
        let machine = &one.facts.machine;
        Some((name, machine.clock.ahead()?, machine.chrony))
    });
    let nodes: Vec<(&String, Ahead, bool)> = nodes.collect();
    let most = majority(nodes.iter().map(|(_, ahead, _)| *ahead).chain([THIS_MACHINE]).collect());
    let mut findings = Vec::new();
    for (name, ahead, chrony) in nodes {
        let off = apart(ahead, most);
        let what = format!("its clock is {} most others", in_words(off));
        match (off.saturating_abs(), chrony) {
            (..NOTICED, _) => {}
            (HARMFUL.., true) => {
                findings.push(CLOCK_STUCK.on(name, format!("{what}, though chrony runs there")));
            }
            (_, true) => {
                let todo = "look at `chronyc sources` there";
                findings.push(CLOCK.on(name, what).todo(todo));
            }
            (_, false) => findings.push(CLOCK.on(name, what).todo(chrony_sets_it(cluster))),
        }
    }
    let off = apart(THIS_MACHINE, most);
    if off.saturating_abs() >= NOTICED {
        let check = if off.saturating_abs() >= HARMFUL { CLOCK_STUCK } else { CLOCK };
        let what = format!("this machine's clock is {} most nodes'", in_words(off));
        findings.push(check.overall(what).todo("set this machine's clock"));
    }
    findings
}

fn chrony_sets_it(cluster: &Cluster) -> String {
    let servers = match cluster.time_servers.as_slice() {
        [] => "the distribution's time servers".to_owned(),
        some => some.join(", "),
    };
    format!("nothing, if the node reaches {servers}: chrony sets it once slipway has started it")
}

/// The median; of two in the middle, the one nearer to this machine's clock.
fn majority(mut clocks: Vec<Ahead>) -> Ahead {
    let middle = |(least, most): &Ahead| least.saturating_add(most.saturating_sub(*least) / 2);
    clocks.sort_by_key(middle);
    let (upper, lower) = (clocks.len() / 2, clocks.len().saturating_sub(1) / 2);
    let two = [lower, upper].into_iter().filter_map(|at| clocks.get(at).copied());
    two.min_by_key(|ahead| middle(ahead).saturating_abs()).unwrap_or_default()
}

/// How far `one` is ahead of `other` for certain; less than 0: behind.
fn apart(one: Ahead, other: Ahead) -> i64 {
    let (least, most) = (one.0.saturating_sub(other.1), one.1.saturating_sub(other.0));
    if least > 0 { least } else { most.min(0) }
}

fn in_words(off: i64) -> String {
    let seconds = off.saturating_abs() / 1_000_000_000;
    let time = match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    };
    format!("{time} {}", if off > 0 { "ahead of" } else { "behind" })
}

/// Whether it may be this machine's own clock.
#[cfg(test)]
pub(super) fn is_this_machines(clock: &crate::survey::Clock) -> bool {
    clock.ahead().is_some_and(|ahead| apart(ahead, THIS_MACHINE) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::Clock;
    use proptest::prelude::*;

    #[test]
    fn only_what_a_look_cannot_explain_counts() {
        let mut clock = Clock::default();
        clock.shown(Some(1_000));
        clock.shown(Some(3_000));
        clock.heard(500, 3_500);
        assert_eq!(clock.ahead(), Some((-500, 500)));
        assert_eq!(apart((-500, 500), THIS_MACHINE), 0);
        assert_eq!((apart((200, 500), (0, 50)), apart((-500, -200), (0, 50))), (150, -200));
    }

    #[test]
    fn the_majority_is_right_and_this_machine_where_there_is_none() {
        let of = |clocks: &[i64]| majority(clocks.iter().map(|c| (c - 1, c + 1)).collect()).0 + 1;
        assert_eq!((of(&[0, 7]), of(&[0, 7, 7]), of(&[-9, 0, 1, 7])), (0, 7, 0));
    }

    proptest! {
        #[test]
        fn hostile_times_do_not_panic(first: i64, last: i64, asked: i64, heard: i64, others: Vec<Ahead>) {
            let mut clock = Clock::default();
            clock.shown(Some(first));
            clock.shown(Some(last));
            clock.heard(asked, heard);
            if let Some(ahead) = clock.ahead() {
                let _ = in_words(apart(ahead, majority([others, vec![ahead]].concat())));
            }
        }
    }
}
