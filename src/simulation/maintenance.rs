//! Nodes are cordoned, drained and uncordoned at a person's word.

use super::kills::three_and_two;
use super::recovery::{KILLS, killed};
use super::run::{Run, Simulation, in_runtime};
use super::stage::stage;
use super::world::World;
use crate::session::Purpose;

/// A whole cluster.
fn whole() -> World {
    killed(three_and_two().moments.last().unwrap(), KILLS[0])
}

/// `world` after a person had `purpose` carried out at these nodes, and how often commands changed it.
fn after(mut world: World, purpose: Purpose, nodes: &[&str]) -> (World, usize) {
    world.maintained = Some((purpose, nodes.iter().map(|&name| name.to_owned()).collect()));
    let simulation = Simulation::new(world, 1);
    let run = simulation.run(Some(&stage().pki)).unwrap();
    assert!(run.outcome.failures.is_empty(), "{:?}", run.outcome);
    let mut world = simulation.world().clone();
    world.maintained = None;
    (world, run.changed.len())
}

/// Name, and whether slipway cordoned it, of the nodes that take no pods; how often pods were evicted.
fn cordoned(world: &World) -> (Vec<(&str, bool)>, usize) {
    let nodes = &world.stores[world.endpoint().unwrap()].objects.nodes;
    let cordoned = nodes.iter().filter(|(_, node)| node.cordoned);
    let drained = nodes.values().map(|node| node.drained).sum();
    (cordoned.map(|(name, node)| (name.as_str(), node.by_us)).collect(), drained)
}

fn nothing_to_do(world: &World) {
    let Run { planned, .. } = Simulation::new(world.clone(), 1).run(Some(&stage().pki)).unwrap();
    assert!(planned.is_empty(), "{planned:?}");
}

#[test]
fn a_person_decides_which_nodes_take_pods() {
    let (world, changes) = after(whole(), Purpose::DRAIN, &["w-1", "cp-1"]);
    assert_eq!((cordoned(&world), changes), ((vec![("cp-1", false), ("w-1", false)], 2), 4));
    nothing_to_do(&world);
    // Once more, its pods may have come from elsewhere.
    let (world, changes) = after(world, Purpose::DRAIN, &["w-1"]);
    assert_eq!((cordoned(&world).1, changes), (3, 1));
    let (world, changes) = after(world, Purpose::CORDON, &["w-1", "w-2"]);
    assert_eq!(cordoned(&world).0, [("cp-1", false), ("w-1", false), ("w-2", false)]);
    assert_eq!(changes, 1);
    let (world, changes) = after(world, Purpose::UNCORDON, &["cp-1", "w-1", "w-2"]);
    assert_eq!((cordoned(&world).0, changes), (vec![], 3));
    nothing_to_do(&world);
}

#[test]
fn what_an_upgrade_cordoned_becomes_a_persons_or_takes_pods() {
    let mut upgrading = whole();
    let store = upgrading.endpoint().unwrap();
    let node = upgrading.stores[store].objects.nodes.get_mut("w-1").unwrap();
    (node.cordoned, node.by_us) = (true, true);
    let (world, _) = after(upgrading.clone(), Purpose::CORDON, &["w-1"]);
    assert_eq!(cordoned(&world).0, [("w-1", false)]);
    let (world, _) = after(upgrading, Purpose::UNCORDON, &["w-1"]);
    assert_eq!(cordoned(&world).0, []);
}

/// That SSH does not reach a worker keeps nobody from draining it; its kubelet works.
#[test]
fn a_silent_worker_is_drained_and_an_unknown_name_refused() {
    let mut world = whole();
    world.dark.insert("w-1".to_owned());
    let (world, _) = after(world, Purpose::DRAIN, &["w-1"]);
    assert_eq!(cordoned(&world).0, [("w-1", false)]);

    let mut world = whole();
    world.maintained = Some((Purpose::DRAIN, vec!["w-1".to_owned(), "w-9".to_owned()]));
    let simulation = Simulation::new(world, 1);
    let refused = in_runtime(simulation.plan(Some(&stage().pki))).unwrap().err().unwrap();
    assert!(refused.to_string().contains("w-9 is no node of the cluster"), "{refused}");
    assert_eq!(cordoned(&simulation.world()).0, []);
}
