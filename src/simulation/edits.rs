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
use crate::bundle::VERSIONS;
use crate::cluster::{Cluster, Endpoint, Node, Role, Taint};
use crate::diagnostic::Kind;
use crate::kubernetes::arguments::Component;
use crate::pki::Pki;

/// How many clusters have their inventories edited.
const CLUSTERS: u64 = 400;

/// Edits a cluster's node at the third argument, or it and the one at the fourth; new machines come into the
/// world with an edit. `None` where there is nothing to edit in this way.
type Make = fn(&mut Cluster, &mut World, usize, usize) -> Option<()>;

/// What a person does to an inventory.
const EDITS: &[(&str, Make)] = &[
    ("renames", |cluster, _, one, _| {
        cluster.nodes[one].name.insert(0, 'x');
        Some(())
    }),
    ("swaps names", |cluster, _, one, two| {
        let name = cluster.nodes[one].name.clone();
        cluster.nodes[one].name = std::mem::replace(&mut cluster.nodes[two].name, name);
        (one != two).then_some(())
    }),
    ("swaps addresses", |cluster, _, one, two| {
        let (a, b) = (cluster.nodes[one].clone(), cluster.nodes[two].clone());
        (cluster.nodes[one].ssh, cluster.nodes[one].internal) = (b.ssh, b.internal);
        (cluster.nodes[two].ssh, cluster.nodes[two].internal) = (a.ssh, a.internal);
        (one != two).then_some(())
    }),
    ("changes a role", |cluster, _, one, _| {
        cluster.nodes[one].role = match cluster.nodes[one].role {
            Role::ControlPlane => Role::Worker,
            Role::Worker => Role::ControlPlane,
        };
        Some(())
    }),
    ("changes all workers' role", |cluster, _, _, _| {
        cluster.nodes.iter_mut().for_each(|node| node.role = Role::ControlPlane);
        Some(())
    }),
    ("removes", |cluster, _, one, _| {
        cluster.nodes.remove(one);
        Some(())
    }),
    ("adds a worker", |cluster, world, _, _| {
        add(cluster, world, Role::Worker, None);
        Some(())
    }),
    ("adds two control planes", |cluster, world, _, _| {
        add(cluster, world, Role::ControlPlane, None);
        add(cluster, world, Role::ControlPlane, None);
        Some(())
    }),
    ("replaces by another machine", |cluster, world, one, _| {
        if cluster.nodes.len() == 1 {
            // Nobody would be left who knows of the cluster.
            return None;
        }
        let Node { name, role, .. } = cluster.nodes[one].clone();
        add(cluster, world, role, Some(name));
        cluster.nodes.remove(one);
        Some(())
    }),
    ("writes twice", |cluster, _, one, _| {
        let mut node = cluster.nodes[one].clone();
        node.name.insert(0, 'y');
        node.internal = second(node.internal);
        node.ssh.host = node.internal.to_string();
        node.role = Role::Worker;
        cluster.nodes.push(node);
        Some(())
    }),
    ("moves control planes", |cluster, _, _, _| {
        let nodes = cluster.nodes.iter_mut();
        nodes.filter(|node| node.role == Role::ControlPlane).for_each(move_it);
        Some(())
    }),
    ("moves one", |cluster, _, one, _| {
        move_it(&mut cluster.nodes[one]);
        Some(())
    }),
    ("changes the login", |cluster, _, one, _| {
        "admin".clone_into(&mut cluster.nodes[one].ssh.user);
        cluster.nodes[one].ssh.port = 2222;
        Some(())
    }),
    ("reorders", |cluster, _, one, _| {
        cluster.nodes.rotate_left(one);
        Some(())
    }),
    ("changes the endpoint", |cluster, _, _, _| {
        cluster.endpoint = Endpoint::External { host: "other.example.com".to_owned(), port: 6443 };
        Some(())
    }),
    ("changes the version", |cluster, _, _, _| {
        cluster.kubernetes = VERSIONS[1].parse().unwrap();
        Some(())
    }),
    ("changes the kubelets' settings", |cluster, _, _, _| {
        cluster.kubelet.insert("maxPods".to_owned(), 200.into());
        Some(())
    }),
    ("changes a kubelet's manager", |cluster, _, _, _| {
        cluster.kubelet.insert("cpuManagerPolicy".to_owned(), "static".into());
        Some(())
    }),
    ("changes arguments of control planes", |cluster, _, _, _| {
        let argument = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let arguments = &mut cluster.control_plane.arguments;
        arguments.insert(Component::ApiServer, argument("profiling", "false"));
        arguments.insert(Component::Etcd, argument("quota-backend-bytes", "4294967296"));
        Some(())
    }),
    ("changes kube-proxy's mode", |cluster, _, _, _| {
        "iptables".clone_into(&mut cluster.proxy_mode);
        Some(())
    }),
    ("taints otherwise", |cluster, _, one, _| {
        let taint = |key: &str| Taint {
            key: key.to_owned(),
            value: String::new(),
            effect: "PreferNoSchedule".to_owned(),
        };
        cluster.nodes[one].taints = match cluster.nodes[one].taints {
            Some(_) => None,
            None => Some(vec![taint("example.com/a"), taint("example.com/b")]),
        };
        Some(())
    }),
    ("names the API otherwise", |cluster, _, _, _| {
        cluster.cert_sans = vec!["203.0.113.7".to_owned(), "k8s.example.com".to_owned()];
        Some(())
    }),
    ("copies from another", |cluster, _, _, _| {
        "another".clone_into(&mut cluster.name);
        Some(())
    }),
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

/// Makes one edit; `None` where there was nothing to edit, or no control plane is left: no inventory is
/// without one.
fn edit(make: Make, cluster: &mut Cluster, world: &mut World, rng: &mut Rng) -> Option<()> {
    let count = cluster.nodes.len();
    let one = rng.below(count);
    let two = (one + 1 + rng.below(count.max(2) - 1)) % count;
    make(cluster, world, one, two)?;
    cluster.with_role(Role::ControlPlane).next().map(|_| ())
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

/// One apply of an edited inventory, with the keys that the operator's machine has of it; gives the world
/// after it.
fn apply(world: World, kept: Option<&Pki>, rng: &mut Rng) -> Result<(Came, World), String> {
    let simulation = Simulation::new(world, rng.next());
    simulation.keep_history();
    let changes = simulation.world().changes;
    let before = simulation.world().tolerance();
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
    let since = history.iter().skip(run.waited.saturating_sub(1));
    let least = since.filter_map(|moment| moment.world.tolerance()).min();
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
fn edited(moment: &Moment, rng: &mut Rng) -> Result<Vec<(&'static str, Came)>, String> {
    let mut world = killed(moment, KILLS[0]);
    let mut truth = Arc::clone(&world.meant);
    let mut tried = Vec::new();
    for _ in 0..1 + rng.below(3) {
        let (name, make) = *rng.pick(EDITS);
        let mut cluster = (*truth).clone();
        if edit(make, &mut cluster, &mut world, rng).is_none() {
            continue;
        }
        // Keys are kept by the cluster's name.
        let kept = (cluster.name == truth.name).then_some(&stage().pki);
        world.meant = Arc::new(cluster);
        let (came, after) =
            apply(world.clone(), kept, rng).map_err(|why| format!("{tried:?}, {name}: {why}"))?;
        world = after;
        if came == Came::Refused {
            world.meant = Arc::clone(&truth);
        } else {
            truth = Arc::clone(&world.meant);
        }
        tried.push((name, came));
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
