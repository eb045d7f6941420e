//! How many nodes do a step at a time, and what they wait for.

use super::super::bench::{Bench, NODES, step};
use super::super::fake::{Entry, Made};
use crate::cluster::Role;
use crate::resource::boxed;
use crate::steps::{Gate, Pace, Step};

const ROLLING: &[Step] =
    &[step("roll", &[], Pace::Rolling(1), |_, _| Ok(vec![boxed(Made(&["x"]))]))];
const NAMES: &[&str] = &["cp-1", "cp-2", "cp-3"];

/// What failed first does not go on elsewhere; what has nothing to do is not held back.
#[tokio::test(start_paused = true)]
async fn a_rolling_step_ends_with_its_first_failure() {
    for seed in 0..20 {
        let bench = Bench::new(ROLLING, NAMES, seed);
        let key = |name: &str| (name.to_owned(), "x".to_owned());
        bench.world.state().there.insert(key("cp-2"));
        bench.world.state().broken.extend(["cp-1", "cp-3"].map(key));
        let outcome = bench.run().await.unwrap();
        assert_eq!((outcome.failures.len(), outcome.held_back.len()), (1, 1), "{outcome:?}");
        let (failed, ..) = &outcome.failures[0];
        assert_eq!(outcome.held_back[0].2, format!("it failed on {failed}"));
        assert_eq!(bench.begun(), [key(failed)], "one was tried");
    }
}

const PAIRS: &[Step] = &[step("pairs", &[], Pace::AtMost(2), |_, _| Ok(vec![boxed(Made(&["x"]))]))];

#[tokio::test(start_paused = true)]
async fn no_more_nodes_than_the_pace_says_do_a_step_at_a_time() {
    let mut most = 0;
    for seed in 0..20 {
        let bench = Bench::new(PAIRS, NODES, seed);
        assert_eq!(bench.run().await.unwrap().changed, 5);
        let mut at_it = 0_usize;
        for entry in bench.take_log() {
            match entry {
                Entry::Begin(..) => at_it += 1,
                Entry::End(..) => at_it -= 1,
                _ => {}
            }
            most = most.max(at_it);
        }
    }
    assert_eq!(most, 2);
}

const GATED: &[Step] = &[
    step("planes", &[], Pace::Together, |_, node| {
        let here = node.role == Role::ControlPlane;
        Ok(if here { vec![boxed(Made(&["x"]))] } else { Vec::new() })
    }),
    step("all", &[Gate::ControlPlanes("planes")], Pace::Together, |_, _| {
        Ok(vec![boxed(Made(&["y"]))])
    }),
];

#[tokio::test(start_paused = true)]
async fn a_gate_on_control_planes_waits_for_them_and_for_no_worker() {
    for seed in 0..20 {
        let bench = Bench::new(GATED, NODES, seed);
        assert_eq!(bench.run().await.unwrap().changed, 3 + 5);
        let begun = bench.begun();
        let last = begun.iter().rposition(|(_, thing)| thing == "x").unwrap();
        let first = begun.iter().position(|(_, thing)| thing == "y").unwrap();
        assert!(last < first, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rolling_step_goes_on_while_all_is_well() {
    let bench = Bench::new(ROLLING, NAMES, 7);
    let outcome = bench.run().await.unwrap();
    assert_eq!(outcome.changed, 3, "{outcome:?}");
}
