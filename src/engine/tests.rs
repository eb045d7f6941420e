//! What the engine promises, on nodes in memory: five of them, with steps that have every gate and
//! pace of the real ones.

use std::time::Duration;

use proptest::prelude::*;

use super::Outcome;
use super::bench::{Bench, NODES, STEPS, announced, begun, covered, in_order, step};
use super::fake::{Cut, Entry, HALF, Made, Things, Undone, WaitOnly};
use crate::diagnostic::Kind;
use crate::event::Event;
use crate::resource::boxed;
use crate::steps::{Pace, Step};

mod paces;
mod said;
mod tidy;

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Some of what is meant, at random.
fn some(things: Things, chosen: &[bool]) -> Things {
    things.into_iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(thing, _)| thing).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_state_becomes_the_one_meant(seed: u64, chosen in prop::collection::vec(any::<bool>(), 40)) {
        in_runtime(async {
            let bench = Bench::new(STEPS, NODES, seed);
            let state = some(bench.meant(), &chosen);
            bench.world.state().there = state.clone();

            let planned = bench.plan().await.unwrap();
            let mut looks: Vec<Entry> = bench.take_log();
            looks.sort_by_key(|entry| format!("{entry:?}"));
            let once: Vec<Entry> = NODES.iter().map(|n| Entry::Look((*n).to_owned())).collect();
            assert_eq!(looks, once, "a plan is one look a node, and changes nothing");
            assert_eq!(bench.world.state().there, state);

            let (changes, mut meant) = (planned.changes(), announced(&planned));
            let outcome = bench.apply(planned).await;
            assert_eq!((outcome.changed, outcome.failures.len()), (changes, 0));
            assert_eq!(bench.world.state().there, bench.meant());
            let log = bench.take_log();
            in_order(&log);
            let mut made = begun(&log);
            meant.sort();
            made.sort();
            assert_eq!(made, meant, "exactly what the plan announced was changed");

            let again = bench.plan().await.unwrap();
            assert_eq!(again.changes(), 0);
            assert_eq!(bench.take_log().len(), NODES.len());
            let outcome = bench.apply(again).await;
            assert_eq!((outcome.changed, bench.begun()), (0, vec![]));
        });
    }

    #[test]
    fn nothing_is_changed_that_the_plan_did_not_announce(
        seed: u64,
        before in prop::collection::vec(any::<bool>(), 40),
        after in prop::collection::vec(any::<bool>(), 40),
    ) {
        in_runtime(async {
            let bench = Bench::new(STEPS, NODES, seed);
            bench.world.state().there = some(bench.meant(), &before);
            let planned = bench.plan().await.unwrap();
            let covered = covered(&planned);
            let now = some(bench.meant(), &after);
            bench.world.state().there = now.clone();
            bench.take_log();

            let outcome = bench.apply(planned).await;
            let begun = bench.begun();
            assert!(begun.iter().all(|made| covered.contains(made)), "{begun:?}, {covered:?}");
            assert!(outcome.failures.iter().all(|(.., error)| error.kind() == Kind::Outdated));
            let lacking: Things = bench.meant().difference(&now).cloned().collect();
            if lacking.is_subset(&covered) {
                assert_eq!(outcome.failures.len(), 0);
                assert_eq!(bench.world.state().there, bench.meant());
            }
        });
    }

    #[test]
    fn a_run_cut_anywhere_heals_when_repeated(
        seed: u64,
        chosen in prop::collection::vec(any::<bool>(), 40),
        at in 0_usize..80,
        late: bool,
    ) {
        in_runtime(async {
            let bench = Bench::new(STEPS, NODES, seed);
            bench.world.state().there = some(bench.meant(), &chosen);
            let cut = if late { Cut::After } else { Cut::Before };
            heals(&bench, at, cut).await;
        });
    }
}

/// Cuts a run at its command number `at`; whether it has that many.
async fn heals(bench: &Bench, at: usize, cut: Cut) -> bool {
    bench.world.state().cut = Some((at, cut));
    let first = bench.run().await;
    in_order(&bench.take_log());
    let was_cut = bench.world.state().cut.take().is_none();
    let failed = first.map_or(1, |outcome| outcome.failures.len());
    assert_eq!(failed, usize::from(was_cut), "a lost connection is told, once");
    let second = bench.run().await.unwrap();
    assert!(second.failures.is_empty() && second.held_back.is_empty());
    assert_eq!(bench.world.state().there, bench.meant());
    in_order(&bench.take_log());
    assert_eq!(bench.plan().await.unwrap().changes(), 0);
    was_cut
}

#[tokio::test]
async fn a_new_cluster_cut_at_every_command_heals_when_repeated() {
    for cut in [Cut::Before, Cut::After] {
        let mut at = 0;
        while heals(&Bench::new(STEPS, NODES, 1), at, cut).await {
            at += 1;
        }
        assert!(at > 60, "cut {at} times");
    }
}

#[tokio::test]
async fn a_brief_cut_at_any_command_is_survived_by_the_run_itself() {
    for cut in [Cut::Before, Cut::After] {
        for at in 0.. {
            let bench = Bench::new(STEPS, NODES, 1);
            let plan = bench.plan().await.unwrap();
            bench.world.state().brief = true;
            bench.world.state().cut = Some((at, cut));
            let outcome = bench.apply(plan).await;
            assert!(outcome.failures.is_empty() && outcome.held_back.is_empty(), "{outcome:?}");
            assert_eq!(bench.world.state().there, bench.meant());
            in_order(&bench.take_log());
            let was_cut = bench.world.state().cut.take().is_none();
            assert_eq!(bench.plan().await.unwrap().changes(), 0);
            if !was_cut {
                assert!(at > 50, "cut {at} times");
                break;
            }
        }
    }
}

/// Runs with `thing` broken on `node`: nodes that failed, nodes held back, what else is missing.
async fn broken(node: &str, thing: &str) -> (Bench, Outcome, Things) {
    let bench = Bench::new(STEPS, NODES, 3);
    let key = (node.to_owned(), thing.to_owned());
    bench.world.state().broken.insert(key.clone());
    let outcome = bench.run().await.unwrap();
    let failed: Vec<_> = outcome.failures.iter().map(|(node, ..)| node.as_str()).collect();
    assert_eq!(failed, [node]);
    let mut lacking: Things =
        bench.meant().difference(&bench.world.state().there).cloned().collect();
    assert!(lacking.remove(&key));
    (bench, outcome, lacking)
}

fn things(list: &[(&str, &str)]) -> Things {
    list.iter().map(|(node, thing)| ((*node).to_owned(), (*thing).to_owned())).collect()
}

#[tokio::test]
async fn the_leaders_failure_holds_back_the_joins_and_nothing_before_them() {
    let (bench, outcome, lacking) = broken("cp-1", "init").await;
    let mut held: Vec<_> = outcome.held_back.iter().map(|(n, s, _)| (n.as_str(), *s)).collect();
    held.sort_unstable();
    assert_eq!(held, [("cp-2", "join"), ("cp-3", "join"), ("w-1", "workers"), ("w-2", "workers")]);
    assert!(outcome.held_back.iter().all(|(.., why)| why == "`init` did not finish on cp-1"));
    let base = |(_, thing): &(String, String)| matches!(thing.as_str(), "a" | "b" | "c");
    assert!(!lacking.iter().any(base), "{lacking:?}");

    bench.world.state().broken.clear();
    assert!(bench.run().await.unwrap().failures.is_empty());
    assert_eq!(bench.world.state().there, bench.meant());
}

#[tokio::test]
async fn a_workers_failure_holds_back_only_the_last_word() {
    let (_, outcome, lacking) = broken("w-1", "member").await;
    let held: Vec<_> = outcome.held_back.iter().map(|(n, s, _)| (n.as_str(), *s)).collect();
    assert_eq!(held, [("cp-1", "health")]);
    assert_eq!(lacking, things(&[("w-1", "certificate"), ("cp-1", "labels")]));
}

#[tokio::test]
async fn a_control_planes_failure_gives_the_turn_to_the_next() {
    let (_, _, lacking) = broken("cp-2", "member").await;
    assert_eq!(lacking, things(&[("cp-2", "voter"), ("cp-2", "certificate"), ("cp-1", "labels")]));
}

#[tokio::test]
async fn a_failure_says_what_the_node_printed_without_its_secrets() {
    let (bench, outcome, _) = broken("w-1", "b").await;
    let (_, step, error) = &outcome.failures[0];
    assert_eq!((*step, error.kind()), ("base", Kind::Command));
    assert_eq!(
        error.to_string(),
        "error: cannot make b on w-1: exit code 1\n  command: make b\n  \
         the disk is full, and the password is ***\n\
         hint: fix the cause, then run the same command again: what is done is not repeated"
    );
    let told = bench.told.0.lock().unwrap();
    let failed =
        |e: &&Event| matches!(e, Event::StepFailed { node, step: "base", .. } if node == "w-1");
    assert_eq!(told.iter().filter(failed).count(), 1);
}

#[tokio::test]
async fn a_command_that_did_nothing_is_noticed() {
    let bench = Bench::new(STEPS, NODES, 3);
    bench.world.state().in_vain = things(&[("w-1", "c")]);
    let outcome = bench.run().await.unwrap();
    let (node, step, error) = &outcome.failures[0];
    assert_eq!((node.as_str(), *step, error.kind()), ("w-1", "base", Kind::Command));
    assert_eq!(error.message(), "c on w-1 still differs after its commands: new: c");
}

#[tokio::test]
async fn what_disappears_after_the_plan_is_refused_and_named() {
    let bench = Bench::new(STEPS, NODES, 3);
    let mut there = bench.meant();
    there.retain(|(node, thing)| node != "w-1" || thing != "c");
    bench.world.state().there = there;
    let planned = bench.plan().await.unwrap();
    bench.world.state().there.retain(|(node, thing)| node != "w-1" || thing != "a");
    bench.take_log();

    let outcome = bench.apply(planned).await;
    let (node, step, error) = &outcome.failures[0];
    assert_eq!((node.as_str(), *step, error.kind()), ("w-1", "base", Kind::Outdated));
    assert_eq!(
        error.to_string(),
        "error: a and b on w-1 differs now, and the plan did not announce it: the step changed \
         nothing\n  a and b: new: a\nhint: find out what changed it, and plan again"
    );
    assert_eq!(bench.begun(), vec![], "not even what was announced for that step");
}

#[tokio::test]
async fn what_appears_after_the_plan_is_left_alone() {
    let bench = Bench::new(STEPS, NODES, 3);
    let planned = bench.plan().await.unwrap();
    bench.world.state().there = bench.meant();
    let outcome = bench.apply(planned).await;
    assert_eq!((outcome.changed, outcome.failures.len(), bench.begun()), (0, 0, vec![]));
}

const LEFTOVERS: &[Step] = &[
    step("leftovers", &[], Pace::AtMost(1), |_, _| Ok(vec![boxed(Undone)])),
    step("pki", &[], Pace::Together, |_, _| {
        Ok(vec![boxed(Made(&["/etc/kubernetes/pki/ca.crt"])), boxed(Made(&["patch"]))])
    }),
];

#[tokio::test]
async fn a_plan_announces_what_its_reset_takes_away() {
    let bench = Bench::new(LEFTOVERS, &["cp-1"], 0);
    let there = [HALF, "/etc/kubernetes/pki/ca.crt", "patch"].map(|thing| ("cp-1", thing));
    bench.world.state().there = things(&there);
    let planned = bench.plan().await.unwrap();
    let expected = [("cp-1", "reset"), ("cp-1", "/etc/kubernetes/pki/ca.crt")];
    let expected = expected.map(|(node, thing)| (node.to_owned(), thing.to_owned()));
    assert_eq!(announced(&planned), expected);
    bench.take_log();
    assert_eq!(bench.apply(planned).await.failures.len(), 0);
    assert_eq!(bench.begun(), expected);
    assert_eq!(bench.world.state().there, things(&there[1..]));
}

#[tokio::test]
async fn what_is_only_waited_for_needs_no_announcement() {
    let bench = Bench::new(WAITING, &["cp-1"], 0);
    bench.world.state().there = things(&[("cp-1", "server"), ("cp-1", "ready")]);
    let planned = bench.plan().await.unwrap();
    bench.world.state().there.remove(&("cp-1".to_owned(), "ready".to_owned()));
    bench.world.state().ripens.insert("ready", (1, "server"));
    let outcome = bench.apply(planned).await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(bench.begun(), [("cp-1".to_owned(), "client".to_owned())]);
}

#[tokio::test]
async fn events_tell_every_change_and_every_nodes_end() {
    let bench = Bench::new(STEPS, NODES, 5);
    let outcome = bench.run().await.unwrap();
    let told = bench.told.0.lock().unwrap();
    let count = |of: fn(&Event) -> bool| told.iter().filter(|event| of(event)).count();
    let begun = bench.begun().len();
    assert_eq!(count(|e| matches!(e, Event::Changing { .. })), begun);
    assert_eq!(count(|e| matches!(e, Event::Changed { .. })), begun);
    assert_eq!(count(|e| matches!(e, Event::NodeFinished { .. })), NODES.len());
    let finished =
        |e: &Event| if let Event::StepFinished { changed, .. } = e { *changed } else { 0 };
    assert_eq!(told.iter().map(finished).sum::<usize>(), outcome.changed);
}

const WAITING: &[Step] = &[step("wait", &[], Pace::Together, |_, _| {
    let ready = WaitOnly("ready", Duration::from_secs(20));
    Ok(vec![boxed(Made(&["server"])), boxed(ready), boxed(Made(&["client"]))])
})];

#[tokio::test]
async fn what_is_waited_for_comes_between_the_changes_around_it() {
    let bench = Bench::new(WAITING, &["cp-1"], 0);
    bench.world.state().ripens.insert("ready", (1, "server"));
    assert_eq!(bench.run().await.unwrap().changed, 3);
    let log = bench.take_log();
    let look = || Entry::Look("cp-1".to_owned());
    let at = |thing: &str| log.iter().position(|e| matches!(e, Entry::Begin(_, t) if t == thing));
    let between = log[at("server").unwrap()..at("client").unwrap()].iter();
    // One look verifies the server; two ask for what it brings about.
    assert_eq!(between.filter(|entry| **entry == look()).count(), 3);
}

const IMPATIENT: &[Step] = &[step("wait", &[], Pace::Together, |_, _| {
    Ok(vec![boxed(WaitOnly("ready", Duration::from_millis(100))), boxed(Made(&["client"]))])
})];

#[tokio::test]
async fn patience_ends() {
    let bench = Bench::new(IMPATIENT, &["cp-1"], 0);
    let outcome = bench.run().await.unwrap();
    let (_, _, error) = &outcome.failures[0];
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.to_string().contains("\n  it takes its time"), "{error}");
    assert_eq!(bench.begun(), vec![], "nothing after it was changed");
}
