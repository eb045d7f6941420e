//! Nodes are taken out of a cluster, whatever is killed meanwhile.

use std::sync::Arc;

use super::kills::{Undisturbed, three_and_two, undisturbed};
use super::recovery::{KILLS, all, killed, kills, recover};
use super::run::{Run, Simulation, in_runtime};
use super::stage::stage;
use super::world::World;
use crate::diagnostic::Error;

/// A whole cluster, of which these nodes are taken out.
fn without(leaving: &[&str]) -> World {
    let mut world = killed(three_and_two().moments.last().unwrap(), KILLS[0]);
    world.leaving = leaving.iter().map(|name| (*name).to_owned()).collect();
    world
}

/// What the cluster lists of its nodes and etcd's members.
fn listed(world: &World) -> (Vec<&str>, Vec<&str>) {
    let store = &world.stores[world.endpoint().unwrap()];
    let mut members: Vec<&str> = store.members.iter().map(|m| m.name.as_str()).collect();
    members.sort_unstable();
    (store.objects.nodes.keys().map(String::as_str).collect(), members)
}

/// The person takes the line out of the inventory, too.
fn take_the_line_out(world: &mut World) {
    let mut cluster = (*world.meant).clone();
    cluster.nodes.retain(|node| !world.leaving.contains(&node.name));
    world.meant = Arc::new(cluster);
    world.leaving.clear();
}

fn refused(world: World) -> Error {
    let simulation = Simulation::new(world, 1);
    let error = in_runtime(simulation.plan(Some(&stage().pki))).unwrap().err().unwrap();
    assert_eq!(simulation.world().changes, three_and_two().moments.last().unwrap().world.changes);
    error
}

#[test]
fn a_removal_goes_by_the_order_that_is_safe() {
    for (leaving, nodes, members) in [
        (&["w-2"][..], &["cp-1", "cp-2", "cp-3", "w-1"][..], &["cp-1", "cp-2", "cp-3"][..]),
        (&["cp-1"], &["cp-2", "cp-3", "w-1", "w-2"], &["cp-2", "cp-3"]),
        (&["cp-3", "cp-2", "w-1", "w-2"], &["cp-1"], &["cp-1"]),
    ] {
        let Undisturbed { moments, .. } = undisturbed(without(leaving), 1).unwrap();
        let last = &moments.last().unwrap().world;
        let (left, voting) = listed(last);
        assert_eq!((left.as_slice(), voting.as_slice()), (nodes, members), "{leaving:?} left");
        let at = |node: &str, what: &str| {
            let found = moments.iter().position(|m| m.event.contains(what));
            found.unwrap_or_else(|| panic!("{node}: nothing {what}"))
        };
        let first = |what: &str| moments.iter().position(|m| m.event.contains(what));
        let end = |node: &str| first(&format!("{node} does Disable(\"keepalived.service\")"));
        let ended = leaving.iter().filter_map(|node| end(node)).max();
        let drains = leaving.iter().map(|node| at(node, &format!("does Drain({node:?},"))).max();
        assert!(
            first("/etc/hosts") > drains,
            "{leaving:?}: somebody does not count on it any more"
        );
        assert_eq!(ended.is_some(), leaving.iter().any(|node| node.starts_with("cp")));
        assert!(ended.is_none() || ended > drains && first("/etc/haproxy/haproxy.cfg") > ended);
        for node in leaving {
            let reset = at(node, &format!("{node} does Kubeadm"));
            assert!(at(node, &format!("does Drain({node:?},")) < reset, "{node}");
            assert!(reset < at(node, &format!("does DeleteNode({node:?}")), "{node}");
            assert!(!last.machine(node).has("/etc/kubernetes/kubelet.conf"), "{node}");
            assert!(!last.machine(node).active("keepalived.service"), "{node}");
        }
        let mut world = killed(moments.last().unwrap(), KILLS[0]);
        take_the_line_out(&mut world);
        let Run { planned, .. } = Simulation::new(world, 1).run(Some(&stage().pki)).unwrap();
        assert!(planned.is_empty(), "after {leaving:?} left: {planned:?}");
    }
}

#[test]
fn a_removal_killed_after_any_change_is_finished_by_the_next() {
    for leaving in [&["cp-1", "w-1"][..], &["cp-3"]] {
        let Undisturbed { moments, whole } = &undisturbed(without(leaving), 1).unwrap();
        all(
            "killed removals",
            &kills(moments),
            |(moment, kill)| format!("{leaving:?}: {}; after: {:.90}", kill.name, moment.event),
            |(moment, kill)| {
                let simulation = Simulation::new(killed(moment, *kill), 1);
                Ok(vec![(kill.name, recover(&simulation, *kill, whole)?)])
            },
        );
    }
}

#[test]
fn who_changes_his_mind_gets_the_node_back() {
    let Undisturbed { moments, .. } = undisturbed(without(&["cp-3", "w-1"]), 1).unwrap();
    let whole = &three_and_two().whole;
    let cases: Vec<_> = moments.iter().collect();
    all(
        "removals given up",
        &cases,
        |moment| format!("after: {:.90}", moment.event),
        |moment| {
            let mut world = killed(moment, KILLS[0]);
            world.leaving.clear();
            let simulation = Simulation::new(world, 1);
            let Err(why) = recover(&simulation, KILLS[0], whole) else {
                return Ok(vec!["at once"]);
            };
            // Whose etcd member is gone is no member, and while its Node is Ready nobody resets it unasked.
            let refused = why.contains("which may run pods");
            if !refused || simulation.world().changes != moment.world.changes {
                return Err(why);
            }
            simulation.world().leaving = moment.world.leaving.clone();
            simulation.run(Some(&stage().pki)).map_err(|e| e.to_string())?;
            simulation.world().leaving.clear();
            recover(&simulation, KILLS[0], whole).map(|_| vec!["after the removal"])
        },
    );
}

#[test]
fn a_machine_that_is_off_for_good_leaves_too() {
    let mut world = without(&["cp-1"]);
    world.machine_mut("cp-1").pods.clear();
    world.machine_mut("cp-1").stop("kubelet.service");
    world.dark.insert("cp-1".to_owned());
    world.still = false;
    while world.run_controller().is_some() {}
    let living = refused(world.clone()).to_string();
    assert!(living.contains("cp-1 is Ready, and its machine is not reached"), "{living}");
    world.pass_a_minute();
    let simulation = Simulation::new(world, 1);
    let run = simulation.run(Some(&stage().pki)).unwrap();
    assert!(run.outcome.failures.is_empty(), "{:?}", run.outcome);
    let world = simulation.world();
    assert_eq!(listed(&world), (vec!["cp-2", "cp-3", "w-1", "w-2"], vec!["cp-2", "cp-3"]));
}

/// Its member counts for the majority, and adds nothing to it: it goes before one that lives.
#[test]
fn a_dead_member_goes_first() {
    let mut world = without(&["cp-1", "cp-2"]);
    world.machine_mut("cp-2").pods.clear();
    world.machine_mut("cp-2").stop("kubelet.service");
    world.dark.insert("cp-2".to_owned());
    world.pass_a_minute();
    let Undisturbed { moments, .. } = undisturbed(world, 1).unwrap();
    let removed: Vec<&str> = moments
        .iter()
        .filter(|moment| moment.event.contains("does RemoveMember"))
        .map(|moment| moment.event.as_str())
        .collect();
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert_eq!(listed(&moments.last().unwrap().world).1, ["cp-3"]);
}

#[test]
fn what_the_cluster_cannot_do_without_stays() {
    let all = refused(without(&["cp-1", "cp-2", "cp-3"])).to_string();
    assert!(all.contains("no control plane of the inventory would be left"), "{all}");
    let unknown = refused(without(&["w-9"])).to_string();
    assert!(
        unknown.contains("w-9 is no node of the inventory, and none of the cluster"),
        "{unknown}"
    );
    let mut world = without(&["cp-1"]);
    world.machine_mut("cp-2").pods.clear();
    let quorum = refused(world).to_string();
    let words = "2 of its 3 voting members answer, 2 must; of the 2 that are left 1, 2 must";
    assert!(quorum.contains(words), "{quorum}");
}
