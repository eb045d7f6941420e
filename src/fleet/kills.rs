//! An apply that is killed after any change is finished by the next one, and makes the same cluster.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::heal::{WAYS, Way, all, heal, killed, same, tell};
use super::run::{Fleet, Moment};
use super::stage::{Shape, stage};
use super::world::World;

/// An apply that nothing disturbed.
pub(super) struct Undisturbed {
    /// The world at first, and after every change.
    pub(super) moments: Vec<Moment>,
    /// The world at last.
    pub(super) whole: BTreeMap<String, String>,
}

/// Applies to `world`, which nothing disturbs, and once more.
pub(super) fn undisturbed(world: World, seed: u64) -> Result<Undisturbed, String> {
    let fleet = Fleet::new(world, seed);
    fleet.keep_history();
    let run = fleet.run(Some(&stage().pki)).map_err(|e| e.to_string())?;
    let moments = fleet.history();
    if !run.outcome.failures.is_empty() || !run.outcome.held_back.is_empty() {
        return Err(format!("{:?}", run.outcome));
    }
    let announced = run.announced();
    if announced != run.changed {
        let differing: Vec<_> = announced.symmetric_difference(&run.changed).collect();
        return Err(format!("announced or done, not both: {differing:?}"));
    }
    let whole = fleet.world().portrait();
    same(&fleet, &whole)?;
    Ok(Undisturbed { moments, whole })
}

/// Three control planes and two workers, from bare machines.
pub(super) fn three_and_two() -> &'static Undisturbed {
    static RUN: OnceLock<Undisturbed> = OnceLock::new();
    RUN.get_or_init(|| undisturbed(World::new(Shape::whole().cluster()), 1).unwrap())
}

#[test]
fn an_apply_killed_after_any_change_is_finished_by_the_next() {
    let Undisturbed { moments, whole } = three_and_two();
    let kubeadm_works =
        |moment: &Moment| moment.world.machines.values().any(|m| m.kubeadm.is_some());
    // Each moment in two ways: what slipway can least count on, and one of the others in turn.
    let two_ways = |(at, moment)| {
        let other = WAYS[1 + at % (WAYS.len() - 1)];
        [(moment, WAYS[0]), (moment, other)]
    };
    let cases: Vec<(&Moment, Way)> = moments.iter().enumerate().flat_map(two_ways).collect();
    let within = moments.iter().filter(|moment| kubeadm_works(moment)).count();
    tell(format_args!("{} moments, {within} of them within kubeadm", moments.len()));
    all(
        "kills",
        &cases,
        |(moment, way)| format!("{}; killed after: {:.90}", way.name, moment.event),
        |(moment, way)| {
            let fleet = Fleet::new(killed(moment, *way), 1);
            Ok(vec![(way.name, heal(&fleet, *way, whole)?)])
        },
    );
}
