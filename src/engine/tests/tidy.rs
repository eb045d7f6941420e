//! What is done at the end of a run, however it ended.

use super::super::bench::{Bench, NODES, step};
use super::super::fake::{Entry, Made};
use crate::resource::boxed;
use crate::steps::{Gate, Pace, Step};

/// `tidy` on the leader, once nobody joins any more.
const TIDY: &[Step] = &[
    step("first", &[], Pace::Together, |_, _| Ok(vec![boxed(Made(&["a"]))])),
    step("join", &[Gate::Leader("first")], Pace::Together, |context, node| {
        Ok(if context.is_leader(node) { Vec::new() } else { vec![boxed(Made(&["b"]))] })
    }),
    step("tidy", &[Gate::Ended("join")], Pace::Together, |context, node| {
        Ok(if context.is_leader(node) { vec![boxed(Made(&["c"]))] } else { Vec::new() })
    }),
    step("last", &[Gate::Others("join")], Pace::Together, |context, node| {
        Ok(if context.is_leader(node) { vec![boxed(Made(&["d"]))] } else { Vec::new() })
    }),
];

#[tokio::test]
async fn what_is_tidied_up_at_the_end_is_so_however_the_run_ended() {
    let leader = NODES[0];
    let at = |log: &[Entry], begins: bool, name: &str, thing: &str| {
        log.iter().position(|entry| match entry {
            Entry::Begin(n, t) if begins => n == name && t == thing,
            Entry::End(n, t) if !begins => n == name && t == thing,
            _ => false,
        })
    };
    for (breaks, lasts) in
        [(None, true), (Some((NODES[1], "b")), false), (Some((leader, "a")), false)]
    {
        let bench = Bench::new(TIDY, NODES, 1);
        if let Some((node, thing)) = breaks {
            bench.world.state().broken.insert((node.to_owned(), thing.to_owned()));
        }
        let plan = bench.plan().await.unwrap();
        let outcome = bench.apply(plan).await;
        assert_eq!(outcome.failures.len(), usize::from(breaks.is_some()), "{outcome:?}");
        let log = bench.take_log();
        let tidied = at(&log, true, leader, "c").unwrap_or_else(|| panic!("{breaks:?}: {log:?}"));
        for node in &NODES[1..] {
            assert!(at(&log, false, node, "b").is_none_or(|end| end < tidied), "{log:?}");
        }
        assert_eq!(at(&log, true, leader, "d").is_some(), lasts, "{breaks:?}");
    }
}
