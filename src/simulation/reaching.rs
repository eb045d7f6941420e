//! What a session does before its plan: who cannot be reached, and what only a new cluster is refused.

use super::kills::three_and_two;
use super::recovery::{KILLS, killed, same};
use super::run::Simulation;
use super::stage::{Shape, stage};
use super::world::World;
use crate::diagnostic::Kind;

/// A whole cluster, in which something is to be done on every node.
fn drifted() -> World {
    let mut world = killed(three_and_two().moments.last().unwrap(), KILLS[0]);
    for machine in world.machines.values_mut() {
        machine.write("/etc/hosts", 0o644, b"127.0.0.1 localhost\n");
    }
    world
}

fn without(mut world: World, name: &str) -> World {
    world.dark.insert(name.to_owned());
    world
}

#[test]
fn a_dead_worker_of_a_living_cluster_delays_nobody_and_is_named() {
    let simulation = Simulation::new(without(drifted(), "w-2"), 1);
    let run = simulation.run(Some(&stage().pki)).unwrap();
    let [(node, step, error)] = &run.outcome.failures[..] else { panic!("{:?}", run.outcome) };
    assert_eq!((node.as_str(), *step, error.kind()), ("w-2", "connect", Kind::Connection));
    let changed: Vec<&str> = run.changed.iter().map(|(node, ..)| node.as_str()).collect();
    for node in ["cp-1", "cp-2", "cp-3", "w-1"] {
        assert!(changed.contains(&node), "{node} is not in {changed:?}");
    }
    simulation.world().dark.clear();
    let run = simulation.run(Some(&stage().pki)).unwrap();
    assert!(run.outcome.failures.is_empty(), "{:?}", run.outcome);
    same(&simulation, &three_and_two().whole).unwrap();
}

#[test]
fn a_silent_control_plane_stops_the_run() {
    for world in [drifted(), Shape::whole().world()] {
        refused(without(world, "cp-2"), Kind::Connection);
    }
}

#[test]
fn a_new_cluster_needs_all_of_its_nodes() {
    refused(without(Shape::whole().world(), "w-1"), Kind::Connection);
}

#[test]
fn a_new_cluster_is_refused_what_a_living_one_may_pass_through() {
    let two = Shape { control_planes: 2, ..Shape::whole() };
    refused(two.world(), Kind::Inventory);
}

fn refused(world: World, kind: Kind) {
    let simulation = Simulation::new(world, 1);
    let before = simulation.world().portrait();
    let error = simulation.run(Some(&stage().pki)).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(simulation.world().portrait(), before);
}
