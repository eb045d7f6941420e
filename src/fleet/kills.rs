//! Property 1: an apply that is killed after any event is finished by the next one, and makes the
//! same cluster.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::run::{Fleet, Moment};
use super::stage::{Shape, stage};
use super::world::World;
use crate::diagnostic::Kind;

/// What else a kill brings with it.
#[derive(Debug, Clone, Copy)]
struct Way {
    name: &'static str,
    /// kubeadm, where it works, goes on to its end; else it ends where it is.
    goes_on: bool,
    /// The next run comes hours later: tokens have expired.
    later: bool,
    /// The next run finds the world as it was that moment; else all has come about that can.
    at_once: bool,
    /// The operator's machine has lost the keys.
    lost: bool,
}

const WAYS: &[Way] = &[
    Way { name: "all ends", goes_on: false, later: false, at_once: false, lost: false },
    Way {
        name: "all ends, seen at once",
        goes_on: false,
        later: false,
        at_once: true,
        lost: false,
    },
    Way { name: "all ends, hours pass", goes_on: false, later: true, at_once: true, lost: false },
    Way {
        name: "all ends, keys are lost",
        goes_on: false,
        later: false,
        at_once: false,
        lost: true,
    },
    Way { name: "kubeadm goes on", goes_on: true, later: false, at_once: false, lost: false },
];

/// What a kill after `moment` leaves.
fn killed(moment: &Moment, way: Way) -> World {
    let mut world = moment.world.clone();
    if !way.goes_on {
        world.end_kubeadm();
    }
    if way.later {
        world.pass_hours();
    }
    world.still = way.at_once;
    while !world.still
        && let Some(event) = world.nature()
    {
        world.check(&event);
    }
    world
}

/// How it went.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Healed {
    /// By that many runs.
    By(usize),
    /// After a refusal that asked for the lost keys, and changed nothing.
    WithKeys,
}

/// Applies until nothing is left to do, twice at most, and compares with `whole`.
fn heal(world: World, way: Way, whole: &BTreeMap<String, String>) -> Result<Healed, String> {
    let fleet = Fleet::new(world, 1);
    let own = &stage().pki;
    let mut kept = (!way.lost).then_some(own);
    let mut healed = None;
    for runs in 1..=3 {
        let changes = fleet.world().changes;
        match fleet.run(kept) {
            Err(e) if e.kind() == Kind::Preflight && kept.is_none() => {
                if fleet.world().changes != changes {
                    return Err(format!("a refusal changed something: {e}"));
                }
                kept = Some(own);
                healed = Some(Healed::WithKeys);
            }
            Err(e) => return Err(format!("run {runs} was refused: {e}")),
            Ok(run) if !run.unannounced().is_empty() => {
                return Err(format!("not announced: {:?}", run.unannounced()));
            }
            Ok(run) if run.outcome.failures.is_empty() => {
                healed = healed.or(Some(Healed::By(runs)));
                break;
            }
            Ok(run) if runs == 3 => return Err(format!("still failing: {:?}", run.outcome)),
            Ok(_) => fleet.world().pass_a_minute(),
        }
    }
    let again = fleet.run(Some(own)).map_err(|e| format!("the last look: {e}"))?;
    if !again.announced.is_empty() {
        return Err(format!("not empty afterwards: {:?}", again.announced));
    }
    let world = fleet.world();
    if !world.faults.is_empty() {
        return Err(world.faults.join("; "));
    }
    let now = world.portrait();
    if now != *whole {
        let keys = now.keys().chain(whole.keys()).filter(|key| now.get(*key) != whole.get(*key));
        let differs = |key: &String| format!("{key}: {:?}, not {:?}", now.get(key), whole.get(key));
        return Err(keys.take(4).map(differs).collect::<Vec<_>>().join("; "));
    }
    healed.ok_or_else(|| "no end".to_owned())
}

#[test]
fn a_whole_apply_killed_after_any_event_is_finished_by_the_next() {
    let fleet = Fleet::new(World::new(Shape::whole().cluster()), 1);
    fleet.keep_history();
    let run = fleet.run(Some(&stage().pki)).unwrap();
    assert!(run.outcome.failures.is_empty(), "{run:?}");
    let moments = fleet.history();
    let whole = fleet.world().portrait();
    assert_eq!(fleet.world().faults, Vec::<String>::new());

    let works = |moment: &Moment| moment.world.machines.values().any(|m| m.kubeadm.is_some());
    let scenarios: Vec<(&Moment, Way)> = moments
        .iter()
        .flat_map(|moment| WAYS.iter().map(move |way| (moment, *way)))
        .filter(|(moment, way)| !way.goes_on || works(moment))
        .enumerate()
        .filter(|(i, _)| {
            let every: usize = std::env::var("EVERY").map_or(1, |e| e.parse().unwrap());
            i % every == 0
        })
        .map(|(_, x)| x)
        .collect();
    let next = AtomicUsize::new(0);
    let healed: Mutex<BTreeMap<(&str, Healed), usize>> = Mutex::default();
    let failed: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((moment, way)) = scenarios.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let scene = || heal(killed(moment, *way), *way, &whole);
                    let scene = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scene));
                    match scene
                        .unwrap_or_else(|e| Err(format!("panic: {:?}", e.downcast_ref::<String>())))
                    {
                        Ok(how) => *healed.lock().unwrap().entry((way.name, how)).or_default() += 1,
                        Err(why) => {
                            let event: String = moment.event.chars().take(90).collect();
                            let line = format!("{}; killed after: {event}\n    {why}", way.name);
                            failed.lock().unwrap().push(line);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} events, {} kills, {} not healed", moments.len(), scenarios.len(), failed.len());
    for ((way, how), count) in healed.into_inner().unwrap() {
        println!("  {way}: {how:?} {count}");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    drop(Arc::clone(&fleet));
}
