//! What a kill leaves, and whether applying again ends in the cluster that the inventory asks for.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::run::{Moment, Simulation};
use super::stage::stage;
use super::world::World;
use crate::diagnostic::Kind;

/// What becomes of a kubeadm that works when slipway is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kubeadm {
    /// It goes on to its end: it is a unit of its own.
    GoesOn,
    /// It ends where it is.
    Ends,
    /// All machines are switched off and on again.
    LosesPower,
}

/// What else a kill brings with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kill {
    pub(super) name: &'static str,
    kubeadm: Kubeadm,
    /// The next run comes hours later: tokens have expired.
    later: bool,
    /// The next run finds the world as it was that moment; else the controllers have done all they can.
    at_once: bool,
    /// The operator's machine has lost the keys.
    lost: bool,
}

const PLAIN: Kill =
    Kill { name: "all ends", kubeadm: Kubeadm::Ends, later: false, at_once: false, lost: false };

pub(super) const KILLS: &[Kill] = &[
    PLAIN,
    Kill { name: "all ends, and is seen at once", at_once: true, ..PLAIN },
    Kill { name: "all ends, and hours pass", later: true, at_once: true, ..PLAIN },
    Kill { name: "all ends, and the keys are lost", lost: true, ..PLAIN },
    Kill { name: "kubeadm goes on", kubeadm: Kubeadm::GoesOn, ..PLAIN },
    Kill { name: "all machines lose power", kubeadm: Kubeadm::LosesPower, ..PLAIN },
];

/// What slipway can least count on after each moment, one of the other kills after every third.
pub(super) fn kills(moments: &[Moment]) -> Vec<(&Moment, Kill)> {
    let of = |(at, moment)| {
        let others = KILLS[1..].iter().cycle().skip(at / 3).take(usize::from(at % 3 == 0));
        KILLS[..1].iter().chain(others).map(move |kill| (moment, *kill))
    };
    moments.iter().enumerate().flat_map(of).collect()
}

/// What a kill after `moment` leaves.
pub(super) fn killed(moment: &Moment, kill: Kill) -> World {
    let mut world = moment.world.clone();
    match kill.kubeadm {
        Kubeadm::GoesOn => {}
        Kubeadm::Ends => world.end_kubeadm(),
        Kubeadm::LosesPower => world.lose_power(),
    }
    if kill.later {
        world.pass_hours();
    }
    world.still = kill.at_once;
    while !world.still
        && let Some(event) = world.run_controller()
    {
        world.check(&event);
    }
    world
}

/// How the cluster recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recovered {
    /// By that many runs.
    By(usize),
    /// By one, after a refusal that asked for the lost keys and changed nothing.
    WithKeys,
    /// Not at all: no quorum is left, which was seen, and nothing was changed.
    Refused,
}

/// Applies until nothing is left to do, and compares with `whole`. One run is enough, except where the
/// controllers change the world between what a run sees and what it does: there it takes two.
pub(super) fn recover(
    simulation: &Arc<Simulation>,
    kill: Kill,
    whole: &BTreeMap<String, String>,
) -> Result<Recovered, String> {
    let own = &stage().pki;
    let mut kept = (!kill.lost).then_some(own);
    let mut recovered = None;
    let most = if kill.at_once { 2 } else { 1 } + usize::from(kill.lost);
    for runs in 1..=most {
        let changes = simulation.world().changes;
        let beyond_help = simulation.world().lost_quorum();
        match simulation.run(kept) {
            Err(e) if e.kind() == Kind::Preflight && (beyond_help || kept.is_none()) => {
                if simulation.world().changes != changes {
                    return Err(format!("a refusal changed something: {e}"));
                }
                if beyond_help {
                    return Ok(Recovered::Refused);
                }
                kept = Some(own);
                recovered = Some(Recovered::WithKeys);
            }
            Err(e) => return Err(format!("run {runs} was refused: {e}")),
            Ok(run) if !run.unannounced().is_empty() => {
                return Err(format!("not announced: {:?}", run.unannounced()));
            }
            Ok(run) if run.outcome.failures.is_empty() => {
                recovered = recovered.or(Some(Recovered::By(runs)));
                break;
            }
            Ok(run) if runs == most => return Err(format!("still failing: {:?}", run.outcome)),
            Ok(_) => simulation.world().pass_a_minute(),
        }
    }
    same(simulation, whole)?;
    recovered.ok_or_else(|| "no end".to_owned())
}

/// Whether one more run finds nothing to do, nothing went wrong on the way, and all is as in `whole`.
pub(super) fn same(
    simulation: &Arc<Simulation>,
    whole: &BTreeMap<String, String>,
) -> Result<(), String> {
    let changes = simulation.world().changes;
    let again = simulation.run(Some(&stage().pki)).map_err(|e| format!("the last look: {e}"))?;
    if !again.planned.is_empty() || simulation.world().changes != changes {
        return Err(format!("not empty afterwards: {:?}", again.planned));
    }
    let world = simulation.world();
    if !world.faults.is_empty() {
        return Err(world.faults.join("; "));
    }
    let now = world.portrait();
    if now == *whole {
        return Ok(());
    }
    let keys = now.keys().chain(whole.keys()).filter(|key| now.get(*key) != whole.get(*key));
    let differs = |key: &String| format!("{key}: {:?}, not {:?}", now.get(key), whole.get(key));
    Err(keys.take(4).map(differs).collect::<Vec<_>>().join("; "))
}

/// Tries every one of `cases`, on all processors; prints how often what came of them, and fails with
/// all that failed.
pub(super) fn all<C: Sync, R: Ord + Debug + Send>(
    what: &str,
    cases: &[C],
    name: impl Fn(&C) -> String + Sync,
    attempt: impl Fn(&C) -> Result<Vec<R>, String> + Sync,
) {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<R, usize>> = Mutex::default();
    let failed: Mutex<Vec<String>> = Mutex::default();
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = catch_unwind(AssertUnwindSafe(|| attempt(case)));
            match result.unwrap_or_else(|panic| Err(format!("panic: {}", said(&panic)))) {
                Ok(all) => {
                    let mut results = results.lock().unwrap();
                    all.into_iter().for_each(|one| *results.entry(one).or_default() += 1);
                }
                Err(why) => failed.lock().unwrap().push(format!("{}\n    {why}", name(case))),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    tell(format_args!("{} {what}, {} failed", cases.len(), failed.len()));
    for (result, count) in results.into_inner().unwrap() {
        tell(format_args!("  {count} x {result:?}"));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn said(panic: &Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// A line for who runs the tests.
pub(super) fn tell(line: impl Display) {
    println!("{line}");
}
