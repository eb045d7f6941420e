//! A cluster becomes the next version, whatever is killed meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::kills::{Undisturbed, undisturbed};
use super::pod::Pod;
use super::recovery::{KILLS, all, killed, kills, recover};
use super::run::{Moment, Simulation};
use super::stage::{Shape, stage};
use super::world::World;
use crate::bundle::VERSIONS;
use crate::cluster::Role;

/// A cluster of the version before the newest, whose inventory says the newest and lets so many workers be
/// without pods at a time.
fn older(shape: &Shape, max_unavailable: usize) -> World {
    let [newest, before] = [VERSIONS[0], VERSIONS[1]].map(|version| version.parse().unwrap());
    let mut world = shape.world();
    let mut cluster = (*world.meant).clone();
    cluster.kubernetes = before;
    world.meant = Arc::new(cluster.clone());
    let calm = undisturbed(world, 1).unwrap();
    let mut world = killed(calm.moments.last().unwrap(), KILLS[0]);
    cluster.kubernetes = newest;
    cluster.drain.max_unavailable = max_unavailable;
    world.meant = Arc::new(cluster);
    world
}

fn three_and_two() -> &'static Undisturbed {
    static RUN: OnceLock<Undisturbed> = OnceLock::new();
    RUN.get_or_init(|| undisturbed(older(&Shape::whole(), 1), 1).unwrap())
}

/// Three workers, two of them at a time.
fn in_waves() -> &'static Undisturbed {
    static RUN: OnceLock<Undisturbed> = OnceLock::new();
    RUN.get_or_init(|| {
        let shape = Shape { workers: 3, ..Shape::whole() };
        undisturbed(older(&shape, 2), 1).unwrap()
    })
}

/// What must hold at every moment of an upgrade (kubernetes.io, "Version Skew Policy"); and that no more nodes are
/// without pods than may be: a control plane alone, or some workers.
fn broken(world: &World) -> Option<String> {
    let version = |text: &str| -> (u64, u64) {
        let mut parts = text.split('.').map(|part| part.parse().unwrap());
        (parts.next().unwrap(), parts.next().unwrap())
    };
    let apis = world.machines.values().filter_map(|machine| {
        let image = machine.image_of(Pod::ApiServer)?;
        let (_, tag) = image.rsplit_once(":v")?;
        Some((machine.name.as_str(), version(tag)))
    });
    let apis: BTreeMap<&str, (u64, u64)> = apis.collect();
    let oldest = *apis.values().min()?;
    let objects = &world.stores[world.endpoint()?].objects;
    for (name, node) in &objects.nodes {
        if version(&node.version) > oldest {
            return Some(format!("{name}'s kubelet is {}, an API server {oldest:?}", node.version));
        }
    }
    let cordoned: Vec<&String> =
        objects.nodes.iter().filter(|(_, node)| node.cordoned).map(|(name, _)| name).collect();
    let workers = world.meant.with_role(Role::Worker).count();
    let all_workers = cordoned.iter().all(|name| world.meant.is_worker(name));
    let most = if all_workers { world.meant.drain.at_once(workers) } else { 1 };
    (cordoned.len() > most).then(|| format!("{cordoned:?} are cordoned"))
}

#[test]
fn an_upgrade_goes_by_the_order_that_is_safe() {
    let Undisturbed { moments, .. } = three_and_two();
    for moment in moments {
        assert_eq!(broken(&moment.world), None, "after: {:.120}", moment.event);
    }
    let last = &moments.last().unwrap().world;
    let objects = &last.stores[last.endpoint().unwrap()].objects;
    for (name, node) in &objects.nodes {
        assert_eq!(
            (node.version.as_str(), node.cordoned, node.drained),
            (VERSIONS[0], false, 1),
            "{name}"
        );
    }
    let at = |what: &str| moments.iter().position(|moment| moment.event.contains(what)).unwrap();
    let manifest = |node: &str| {
        at(&format!("{node} does Write {{ path: \"/etc/kubernetes/manifests/etcd.yaml\""))
    };
    let drain = |node: &str| at(&format!("cp-1 does Drain(\"{node}\","));
    let order = [
        at("does Write { path: \"/var/lib/slipway/snapshots/"),
        manifest("cp-1"),
        manifest("cp-2").min(manifest("cp-3")),
        manifest("cp-2").max(manifest("cp-3")),
        drain("cp-1").min(drain("cp-2")).min(drain("cp-3")),
        drain("cp-1").max(drain("cp-2")).max(drain("cp-3")),
        drain("w-1").min(drain("w-2")),
    ];
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn workers_go_in_waves_of_no_more_than_may_be_away() {
    let Undisturbed { moments, .. } = in_waves();
    let mut most = 0;
    for Moment { world, event, .. } in moments {
        assert_eq!(broken(world), None, "after: {event:.120}");
        let Some(endpoint) = world.endpoint() else { continue };
        let nodes = world.stores[endpoint].objects.nodes.values();
        most = most.max(nodes.filter(|node| node.cordoned).count());
    }
    assert_eq!(most, 2);
}

#[test]
fn an_upgrade_killed_after_any_change_is_finished_by_the_next_apply() {
    let Undisturbed { moments, whole } = in_waves();
    let cases = kills(moments);
    all(
        "killed upgrades",
        &cases,
        |(moment, kill)| format!("{}; killed after: {:.90}", kill.name, moment.event),
        |(moment, kill)| {
            let simulation = Simulation::new(killed(moment, *kill), 1);
            simulation.keep_history();
            let recovered = recover(&simulation, *kill, whole)?;
            match simulation.history().iter().find_map(|moment| broken(&moment.world)) {
                Some(why) => Err(why),
                None => Ok(vec![(kill.name, recovered)]),
            }
        },
    );
}

#[test]
fn what_a_person_cordoned_stays_cordoned() {
    let mut world = older(&Shape::whole(), 1);
    let store = world.endpoint().unwrap();
    world.stores[store].objects.nodes.get_mut("w-1").unwrap().cordoned = true;
    let simulation = Simulation::new(world, 1);
    let run = simulation.run(Some(&stage().pki)).unwrap();
    assert!(run.outcome.failures.is_empty(), "{:?}", run.outcome);
    let world = simulation.world();
    let nodes = &world.stores[store].objects.nodes;
    let cordoned: Vec<&str> =
        nodes.iter().filter(|(_, node)| node.cordoned).map(|(name, _)| name.as_str()).collect();
    assert_eq!(cordoned, ["w-1"]);
}
