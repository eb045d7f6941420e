//! An apply that is killed after any change is finished by the next one, and makes the same cluster.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::recovery::{KILLS, all, killed, kills, recover, same, tell};
use super::run::{Moment, Place, Simulation};
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
    let simulation = Simulation::new(world, seed);
    simulation.keep_history();
    let run = simulation.run(Some(&stage().pki)).map_err(|e| e.to_string())?;
    let moments = simulation.history();
    if !run.outcome.failures.is_empty() || !run.outcome.held_back.is_empty() {
        return Err(format!("{:?}", run.outcome));
    }
    // kubeadm itself taints a node that joins.
    let mut differing: Vec<Place> =
        run.announced().symmetric_difference(&run.changed).cloned().collect();
    // Where CoreDNS starts is not known before.
    let perhaps = |id: &str| id.starts_with("taints of ") || id.starts_with("CoreDNS on ");
    differing.retain(|place| run.changed.contains(place) || !perhaps(&place.2));
    if !differing.is_empty() {
        return Err(format!("announced or done, not both: {differing:?}"));
    }
    let whole = simulation.world().portrait();
    same(&simulation, &whole)?;
    Ok(Undisturbed { moments, whole })
}

/// Three control planes and two workers, from bare machines.
pub(super) fn three_and_two() -> &'static Undisturbed {
    static RUN: OnceLock<Undisturbed> = OnceLock::new();
    RUN.get_or_init(|| undisturbed(Shape::whole().world(), 1).unwrap())
}

#[test]
fn an_apply_killed_after_any_change_is_finished_by_the_next() {
    let Undisturbed { moments, whole } = three_and_two();
    let kubeadm_works =
        |moment: &Moment| moment.world.machines.values().any(|m| m.kubeadm.is_some());
    let cases = kills(moments);
    let within = moments.iter().filter(|moment| kubeadm_works(moment)).count();
    tell(format_args!("{} moments, {within} of them within kubeadm", moments.len()));
    all(
        "kills",
        &cases,
        |(moment, kill)| format!("{}; killed after: {:.90}", kill.name, moment.event),
        |(moment, kill)| {
            let simulation = Simulation::new(killed(moment, *kill), 1);
            Ok(vec![(kill.name, recover(&simulation, *kill, whole)?)])
        },
    );
}

#[test]
fn the_first_control_plane_may_be_installed_anew_after_any_change() {
    let Undisturbed { moments, whole } = three_and_two();
    let bare = &moments[0].world;
    all(
        "first control planes installed anew",
        moments,
        |moment| format!("after: {:.90}", moment.event),
        |moment| {
            let plain = KILLS[0];
            let mut world = killed(moment, plain);
            world.reinstall("cp-1", bare.machine("cp-1"));
            Ok(vec![recover(&Simulation::new(world, 1), plain, whole)?])
        },
    );
}
