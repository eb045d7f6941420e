//! From any state an apply converges, or refuses and changes nothing: generated inventories,
//! machines as somebody may have left them, kills and reinstallations at random.

use super::dice::Dice;
use super::heal::{Healed, WAYS, all, heal, killed};
use super::kills::{Undisturbed, undisturbed};
use super::kubeadm::key;
use super::machine::{BOOTSTRAP, Machine};
use super::run::Fleet;
use super::stage::{Shape, reference, stage};
use super::world::World;
use crate::diagnostic::Kind;
use crate::pki::Pki;
use crate::template;

/// How many inventories are made up.
const INVENTORIES: u64 = 200;

impl Shape {
    fn random(dice: &mut Dice) -> Self {
        let bits = |dice: &mut Dice| u16::try_from(dice.below(1 << 9)).unwrap();
        Self {
            // Five take long.
            control_planes: *dice.pick(&[1, 1, 1, 3, 3, 3, 3, 5]),
            workers: dice.below(5),
            virtual_ip: dice.chance(60),
            calico: dice.chance(80),
            metrics: dice.chance(50),
            time_server: dice.chance(50),
            kubelet: dice.chance(50),
            labels: bits(dice),
            taints: (bits(dice), bits(dice)),
        }
    }
}

/// What somebody may have done to a machine before.
const HABITS: &[fn(&mut Machine)] = &[
    |machine| machine.swap = false,
    |machine| machine.name_server = false,
    // A disk of its own for etcd.
    |machine| {
        machine.folders.insert("/var/lib/etcd/lost+found".to_owned());
    },
    |machine| {
        machine.hostname.clone_from(&machine.name);
        machine.write("/etc/hostname", 0o644, format!("{}\n", machine.name).as_bytes());
    },
    |machine| machine.write("/etc/hosts", 0o600, b"127.0.0.1 localhost\n192.0.2.1 printer\n\n"),
    |machine| {
        machine.install("chrony");
        machine.on_time = true;
    },
    |machine| ["runc", "conntrack", "haproxy"].iter().for_each(|name| machine.install(name)),
    |machine| machine.load("br_netfilter"),
    |machine| drop(machine.sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned())),
    |machine| machine.write(template::SYSCTLS.target(), 0o600, b"kernel.panic = 5\n"),
    |machine| {
        machine.write("/usr/local/bin/containerd", 0o755, b"an older one");
        machine.write("/etc/systemd/system/containerd.service", 0o644, b"[Service]\n");
        machine.start("containerd.service").unwrap();
        machine.images.insert(reference("pause"), format!("sha256:{}", "0".repeat(64)));
    },
    |machine| {
        machine.folders.insert("/etc/kubernetes/manifests".to_owned());
    },
    // A join of this cluster began here, and stopped soon.
    |machine| {
        machine.write("/usr/local/bin/kubeadm", 0o755, b"kubeadm");
        machine.write(&key("ca.crt"), 0o644, stage().pki.ca_pem());
        machine.write(BOOTSTRAP, 0o600, b"a token of old");
    },
];

/// Bare machines, and such that are not quite.
fn start(shape: &Shape, dice: &mut Dice) -> World {
    let mut world = World::new(shape.inventory());
    for machine in world.machines.values_mut() {
        let often = *dice.pick(&[0, 30]);
        HABITS.iter().filter(|_| dice.chance(often)).for_each(|habit| habit(machine));
    }
    world
}

/// An apply is killed, up to three times, each time at a random moment; now and then a machine is
/// installed anew meanwhile. In the end one comes to its end.
fn disturbed(start: &World, calm: &Undisturbed, dice: &mut Dice) -> Result<Healed, String> {
    let kills = 1 + dice.below(3);
    let mut later = Vec::new();
    let mut went = String::new();
    for kill in 1.. {
        let moments = if later.is_empty() { &calm.moments } else { &later };
        let (moment, way) = (dice.pick(moments), *dice.pick(WAYS));
        let mut world = killed(moment, way);
        went += &format!("{} after: {:.90}; ", way.name, moment.event);
        if dice.chance(20) {
            let names: Vec<&String> = start.machines.keys().collect();
            let name = dice.pick(&names);
            world.reinstall(name, start.machine(name));
            went += &format!("{name} is installed anew; ");
        }
        let fleet = Fleet::new(world, dice.next());
        if kill == kills {
            return heal(&fleet, way, &calm.whole).map_err(|why| format!("{went}\n    {why}"));
        }
        fleet.keep_history();
        // It may be refused: the next one may not.
        let _ = fleet.run(Some(&stage().pki));
        later = fleet.history();
    }
    unreachable!()
}

#[test]
fn from_any_state_an_apply_makes_what_is_meant_or_changes_nothing() {
    let seeds: Vec<u64> = (1..=INVENTORIES).collect();
    all(
        "inventories",
        &seeds,
        |seed| format!("seed {seed}: {:?}", Shape::random(&mut Dice::new(*seed))),
        |seed| {
            let mut dice = Dice::new(*seed);
            let start = start(&Shape::random(&mut dice), &mut dice);
            let calm = undisturbed(start.clone(), *seed)?;
            Ok(vec![disturbed(&start, &calm, &mut dice)?])
        },
    );
}

#[test]
fn another_clusters_node_is_left_alone() {
    let mut world = World::new(Shape::whole().inventory());
    let theirs = Pki::generate().unwrap();
    world.machine_mut("w-2").write(&key("ca.crt"), 0o644, theirs.ca_pem());
    let fleet = Fleet::new(world, 1);
    let before = fleet.world().portrait();
    let refused = fleet.run(Some(&stage().pki)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Preflight, "{refused}");
    assert_eq!(fleet.world().portrait(), before);
}
