//! A saved plan is carried out as it was announced, or not at all.

use std::collections::BTreeMap;

use super::kills::three_and_two;
use super::recovery::{KILLS, all, killed};
use super::run::{Place, Simulation, apply, in_runtime, planned};
use super::stage::stage;
use super::world::World;
use crate::diagnostic::Kind;
use crate::engine::Planned;
use crate::state::Saved;

/// What came of a saved plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// Nothing had changed since; it was done.
    Done,
    /// Some of it had been done by somebody else; the rest was done.
    RestDone,
    /// It did not hold any more; nothing was done.
    Refused,
}

/// Somebody else's doing, between a plan and its apply.
fn meddle(world: &mut World) {
    let machine = world.machine_mut("w-1");
    machine.write("/etc/hosts", 0o644, b"127.0.0.1 localhost\n10.9.9.9 elsewhere\n");
    machine.swap = true;
}

/// The plan that `world` would get, as it is saved.
fn plan_of(world: World) -> (Saved, BTreeMap<Place, bool>) {
    let before = world.changes;
    let simulation = Simulation::new(world, 2);
    let plan = in_runtime(simulation.plan(Some(&stage().pki))).unwrap().unwrap();
    assert_eq!(simulation.world().changes, before, "a plan changes nothing");
    (plan.saved(), planned(&plan.plan))
}

fn carry_out(then: &World, now: World) -> Result<Came, String> {
    let (review, reviewed) = plan_of(then.clone());
    let simulation = Simulation::new(now, 3);
    let before = simulation.world().portrait();
    let plan =
        in_runtime(simulation.plan(Some(&stage().pki))).unwrap().map_err(|e| e.to_string())?;
    let fresh = plan.saved();
    let gone = match review.check(&fresh) {
        Ok(gone) => gone,
        Err(e) if e.kind() == Kind::Outdated && simulation.world().portrait() == before => {
            return Ok(Came::Refused);
        }
        Err(e) => return Err(format!("{e}, or something changed")),
    };
    let run = in_runtime(apply(plan)).unwrap();
    let news: Vec<&Place> =
        run.changed.iter().filter(|place| !reviewed.contains_key(*place)).collect();
    if !news.is_empty() || !run.outcome.failures.is_empty() {
        return Err(format!("not reviewed: {news:?}; {:?}", run.outcome));
    }
    Ok(if gone == 0 { Came::Done } else { Came::RestDone })
}

#[test]
fn a_saved_plan_does_what_it_announced_or_nothing() {
    let moments = &three_and_two().moments;
    let mut cases = Vec::new();
    for at in (0..moments.len()).step_by(moments.len() / 12) {
        cases.extend([0, 1, 5, 60].map(|later| (at, at + later)));
    }
    cases.retain(|(_, later)| *later < moments.len());
    let world = |at: usize| killed(&moments[at], KILLS[0]);
    all(
        "saved plans",
        &cases,
        |(then, now)| format!("planned after {then} changes, applied after {now}"),
        |(then, now)| {
            let came = carry_out(&world(*then), world(*now))?;
            match came {
                Came::Done | Came::RestDone => Ok(vec![came]),
                Came::Refused if then == now => Err("refused, though nothing changed".to_owned()),
                Came::Refused => Ok(vec![came]),
            }
        },
    );
}

#[test]
fn what_somebody_else_did_since_is_not_undone_by_a_saved_plan() {
    let last = three_and_two().moments.last().unwrap();
    let whole = killed(last, KILLS[0]);
    let mut other = whole.clone();
    meddle(&mut other);
    assert_eq!(carry_out(&whole, other), Ok(Came::Refused));
    let (_, planned) = plan_of(whole);
    assert!(planned.is_empty());
}

/// The summaries and reasons of a plan, by resource.
fn reasons(world: World) -> Vec<(String, String, Option<String>)> {
    let simulation = Simulation::new(world, 2);
    let session = in_runtime(simulation.plan(Some(&stage().pki))).unwrap().unwrap();
    let reason = |(node, _, one): (&str, _, &Planned)| {
        (format!("{} on {node}", one.id), one.diff.summary.clone(), one.diff.why.clone())
    };
    session.plan.resources().map(reason).collect()
}

#[test]
fn a_plan_says_which_file_restarts_a_unit_and_older_stamps_restart_nothing() {
    let mut world = killed(three_and_two().moments.last().unwrap(), KILLS[0]);
    let unit = "containerd.service".to_owned();
    let config = "/etc/containerd/config.toml";
    let stamp = world.machine("w-1").stamps[&unit].clone();
    let line = stamp.lines().find(|line| line.ends_with(config)).unwrap();
    let before = stamp.replace(line, &format!("{}  {config}", "0".repeat(64)));
    let (digest, _) = before.split_once('\n').unwrap();
    let before = before.replace(digest, &"1".repeat(64));
    world.machine_mut("w-1").stamps.insert(unit.clone(), before);
    let why = Some(format!("{config} changed"));
    let expected = (format!("unit {unit} on w-1"), "restart".to_owned(), why);
    assert_eq!(reasons(world.clone()), [expected]);
    // Older stamps are the first line alone.
    world.machine_mut("w-1").stamps.insert(unit, stamp);
    for machine in ["cp-1", "cp-2", "cp-3", "w-1", "w-2"] {
        for stamp in world.machine_mut(machine).stamps.values_mut() {
            *stamp = stamp.lines().next().unwrap_or_default().to_owned();
        }
    }
    assert_eq!(reasons(world), []);
}
