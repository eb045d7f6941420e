//! Inventories are edited between applies, well or badly, and applies killed meanwhile: whatever the
//! file says, nothing that lives is undone.

use std::sync::Arc;

use super::kills::{three_and_two, undisturbed};
use super::machine::{Machine, second};
use super::recovery::{KILLS, all, killed};
use super::rng::Rng;
use super::run::{Moment, Simulation};
use super::stage::{Shape, stage};
use super::world::World;
use crate::cluster::{Cluster, Endpoint, Node, Role};
use crate::diagnostic::Kind;

/// How many clusters have their inventories edited.
const CLUSTERS: u64 = 400;

/// What a person does to an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edit {
    Renames,
    SwapsNames,
    SwapsAddresses,
    ChangesRole,
    ChangesAllWorkersRole,
    Removes,
    AddsWorker,
    AddsTwoControlPlanes,
    ReplacesByAnotherMachine,
    WritesTwice,
    MovesControlPlanes,
    MovesOne,
    ChangesLogin,
    Reorders,
    ChangesEndpoint,
    ChangesVersion,
    CopiesFromAnother,
}

use Edit::*;

const EDITS: &[Edit] = &[
    Renames,
    SwapsNames,
    SwapsAddresses,
    ChangesRole,
    ChangesAllWorkersRole,
    Removes,
    AddsWorker,
    AddsTwoControlPlanes,
    ReplacesByAnotherMachine,
    WritesTwice,
    MovesControlPlanes,
    MovesOne,
    ChangesLogin,
    Reorders,
    ChangesEndpoint,
    ChangesVersion,
    CopiesFromAnother,
];

/// What came of an apply of the edited inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Refused,
    NothingToDo,
    Applied,
    AppliedAndKilled,
    FailedInPart,
}

impl Edit {
    /// Edits `cluster`; new machines come into the world with it. `None` where there is nothing to
    /// edit in this way.
    fn make(self, cluster: &mut Cluster, world: &mut World, rng: &mut Rng) -> Option<()> {
        let count = cluster.nodes.len();
        let one = rng.below(count);
        let two = (one + 1 + rng.below(count.max(2) - 1)) % count;
        match self {
            Renames => cluster.nodes[one].name.insert(0, 'x'),
            SwapsNames | SwapsAddresses if one == two => return None,
            SwapsNames => {
                let name = cluster.nodes[one].name.clone();
                cluster.nodes[one].name = std::mem::replace(&mut cluster.nodes[two].name, name);
            }
            SwapsAddresses => {
                let (a, b) = (cluster.nodes[one].clone(), cluster.nodes[two].clone());
                (cluster.nodes[one].ssh, cluster.nodes[one].internal) = (b.ssh, b.internal);
                (cluster.nodes[two].ssh, cluster.nodes[two].internal) = (a.ssh, a.internal);
            }
            ChangesRole => cluster.nodes[one].role = other(cluster.nodes[one].role),
            ChangesAllWorkersRole => {
                cluster.nodes.iter_mut().for_each(|node| node.role = Role::ControlPlane);
            }
            Removes if count == 1 => return None,
            Removes => drop(cluster.nodes.remove(one)),
            AddsWorker => add(cluster, world, Role::Worker, None),
            AddsTwoControlPlanes => {
                add(cluster, world, Role::ControlPlane, None);
                add(cluster, world, Role::ControlPlane, None);
            }
            // Nobody would be left who knows of the cluster.
            ReplacesByAnotherMachine if count == 1 => return None,
            ReplacesByAnotherMachine => {
                let Node { name, role, .. } = cluster.nodes[one].clone();
                add(cluster, world, role, Some(name));
                cluster.nodes.remove(one);
            }
            WritesTwice => {
                let mut node = cluster.nodes[one].clone();
                node.name.insert(0, 'y');
                node.internal = second(node.internal);
                node.ssh.host = node.internal.to_string();
                node.role = Role::Worker;
                cluster.nodes.push(node);
            }
            MovesControlPlanes => {
                cluster
                    .nodes
                    .iter_mut()
                    .filter(|node| node.role == Role::ControlPlane)
                    .for_each(move_it);
            }
            MovesOne => move_it(&mut cluster.nodes[one]),
            ChangesLogin => {
                "admin".clone_into(&mut cluster.nodes[one].ssh.user);
                cluster.nodes[one].ssh.port = 2222;
            }
            Reorders => cluster.nodes.rotate_left(one),
            ChangesEndpoint => {
                cluster.endpoint =
                    Endpoint::External { host: "other.example.com".to_owned(), port: 6443 };
            }
            ChangesVersion => cluster.kubernetes.minor -= 1,
            CopiesFromAnother => "another".clone_into(&mut cluster.name),
        }
        // As the inventory has it: a cluster has a control plane.
        cluster.with_role(Role::ControlPlane).next().map(|_| ())
    }
}

fn other(role: Role) -> Role {
    match role {
        Role::ControlPlane => Role::Worker,
        Role::Worker => Role::ControlPlane,
    }
}

fn move_it(node: &mut Node) {
    node.internal = second(node.internal);
}

/// A bare machine, and a line for it.
fn add(cluster: &mut Cluster, world: &mut World, role: Role, name: Option<String>) {
    let number = 40 + u8::try_from(world.machines.len()).unwrap();
    let machine = format!("new-{number}");
    let mut node = cluster.nodes[0].clone();
    node.name = name.unwrap_or_else(|| machine.clone());
    node.role = role;
    node.internal = std::net::Ipv4Addr::new(10, 77, 0, number);
    node.ssh.host = node.internal.to_string();
    (node.labels, node.taints) = (std::collections::BTreeMap::new(), None);
    let bare = Machine { name: machine.clone(), ..Machine::bare(&node) };
    world.machines.insert(machine, bare);
    cluster.nodes.push(node);
}

/// One apply of an edited inventory; gives the world after it.
fn apply(world: World, edit: Edit, rng: &mut Rng) -> Result<(Came, World), String> {
    let simulation = Simulation::new(world, rng.next());
    simulation.keep_history();
    let changes = simulation.world().changes;
    let before = simulation.world().tolerance();
    // A copy of another cluster's inventory lies in another directory, which has no keys.
    let kept = (edit != CopiesFromAnother).then_some(&stage().pki);
    let result = simulation.run(kept);
    let history = simulation.history();
    let faults = &simulation.world().faults.clone();
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let run = match result {
        Err(e) if e.kind() == Kind::Preflight && simulation.world().changes == changes => {
            return Ok((Came::Refused, simulation.world().clone()));
        }
        Err(e) => return Err(format!("{e}; or something was changed")),
        Ok(run) => run,
    };
    if !run.unannounced().is_empty() {
        return Err(format!("not announced: {:?}", run.unannounced()));
    }
    let least = history.iter().filter_map(|moment| moment.world.tolerance()).min();
    if before.is_some() && run.may_fail > least {
        return Err(format!("the plan said {:?} may fail, it was {least:?}", run.may_fail));
    }
    let world = simulation.world().clone();
    Ok(match (run.outcome.failures.is_empty(), run.changed.is_empty()) {
        (false, _) => (Came::FailedInPart, world),
        (true, true) => (Came::NothingToDo, world),
        (true, false) if rng.chance(50) => {
            (Came::AppliedAndKilled, killed(rng.pick(&history), *rng.pick(KILLS)))
        }
        (true, false) => (Came::Applied, world),
    })
}

/// With an inventory that tells the truth, an apply has an end, and the next has nothing to do.
fn ends_well(world: World) -> Result<(), String> {
    let simulation = Simulation::new(world, 1);
    for _ in 0..3 {
        let run = simulation.run(Some(&stage().pki)).map_err(|e| format!("in the end: {e}"))?;
        if run.outcome.failures.is_empty() {
            break;
        }
        simulation.world().pass_a_minute();
    }
    let again = simulation.run(Some(&stage().pki)).map_err(|e| format!("the last look: {e}"))?;
    if !again.planned.is_empty() {
        return Err(format!("not empty in the end: {:?}", again.planned));
    }
    let faults = &simulation.world().faults;
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// Up to three edits, each applied; those that are refused are taken back.
fn edited(moment: &Moment, rng: &mut Rng) -> Result<Vec<(Edit, Came)>, String> {
    let mut world = killed(moment, KILLS[0]);
    let mut truth = Arc::clone(&world.meant);
    let mut tried = Vec::new();
    for _ in 0..1 + rng.below(3) {
        let edit = *rng.pick(EDITS);
        let mut cluster = (*truth).clone();
        if edit.make(&mut cluster, &mut world, rng).is_none() {
            continue;
        }
        world.meant = Arc::new(cluster);
        let (came, after) =
            apply(world.clone(), edit, rng).map_err(|why| format!("{tried:?}, {edit:?}: {why}"))?;
        world = after;
        if came == Came::Refused {
            world.meant = Arc::clone(&truth);
        } else {
            truth = Arc::clone(&world.meant);
        }
        tried.push((edit, came));
    }
    world.meant = truth;
    ends_well(world).map_err(|why| format!("{tried:?}: {why}"))?;
    Ok(tried)
}

#[test]
fn no_edit_of_an_inventory_undoes_what_lives() {
    let seeds: Vec<u64> = (1..=CLUSTERS).collect();
    all(
        "edited inventories",
        &seeds,
        |seed| format!("seed {seed}"),
        |seed| {
            let mut rng = Rng::new(*seed);
            let shape = Shape {
                control_planes: *rng.pick(&[1, 3, 3, 3, 5]),
                workers: rng.below(4),
                virtual_ip: rng.chance(70),
                ..Shape::whole()
            };
            let calm = undisturbed(shape.world(), *seed)?;
            edited(calm.moments.last().unwrap(), &mut rng)
        },
    );
}

#[test]
fn an_addition_that_was_killed_after_any_change_may_be_taken_back() {
    let whole = killed(three_and_two().moments.last().unwrap(), KILLS[0]);
    let mut bigger = whole.clone();
    let mut cluster = (*whole.meant).clone();
    add(&mut cluster, &mut bigger, Role::Worker, None);
    add(&mut cluster, &mut bigger, Role::ControlPlane, None);
    add(&mut cluster, &mut bigger, Role::ControlPlane, None);
    bigger.meant = Arc::new(cluster);
    let moments = undisturbed(bigger, 1).unwrap().moments;
    all(
        "additions taken back",
        &moments,
        |moment| format!("killed after: {:.90}", moment.event),
        |moment| {
            let mut world = killed(moment, KILLS[0]);
            world.meant = Arc::clone(&whole.meant);
            ends_well(world).map(|()| vec![()])
        },
    );
}
