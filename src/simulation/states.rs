//! From any state an apply converges, or refuses and changes nothing: generated inventories,
//! machines as somebody may have left them, kills and reinstallations at random.

use super::kills::{Undisturbed, undisturbed};
use super::kubeadm::key;
use super::machine::{BOOTSTRAP, Machine};
use super::recovery::{KILLS, Recovered, all, killed, recover};
use super::rng::Rng;
use super::run::Simulation;
use super::stage::{Shape, reference, stage};
use super::world::World;
use crate::diagnostic::Kind;
use crate::pki::Pki;
use crate::template;

/// How many inventories are made up.
const INVENTORIES: u64 = 200;

impl Shape {
    fn random(rng: &mut Rng) -> Self {
        let bits = |rng: &mut Rng| u16::try_from(rng.below(1 << 9)).unwrap();
        Self {
            // Five take long.
            control_planes: *rng.pick(&[1, 1, 1, 3, 3, 3, 3, 5]),
            workers: rng.below(5),
            virtual_ip: rng.chance(60),
            calico: rng.chance(80),
            metrics: rng.chance(50),
            time_server: rng.chance(50),
            kubelet: rng.chance(50),
            labels: bits(rng),
            taints: (bits(rng), bits(rng)),
            hub: rng.chance(50),
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
fn start(shape: &Shape, rng: &mut Rng) -> World {
    let mut world = shape.world();
    for machine in world.machines.values_mut() {
        let often = *rng.pick(&[0, 30]);
        HABITS.iter().filter(|_| rng.chance(often)).for_each(|habit| habit(machine));
    }
    world
}

/// An apply is killed, up to three times, each time at a random moment; now and then a machine is
/// installed anew meanwhile. In the end one comes to its end.
fn disturbed(start: &World, calm: &Undisturbed, rng: &mut Rng) -> Result<Recovered, String> {
    let kills = 1 + rng.below(3);
    let mut later = Vec::new();
    let mut went = String::new();
    for round in 1.. {
        let moments = if later.is_empty() { &calm.moments } else { &later };
        let (moment, kill) = (rng.pick(moments), *rng.pick(KILLS));
        let mut world = killed(moment, kill);
        went += &format!("{} after: {:.90}; ", kill.name, moment.event);
        if rng.chance(20) {
            let names: Vec<&String> = start.machines.keys().collect();
            let name = rng.pick(&names);
            world.reinstall(name, start.machine(name));
            went += &format!("{name} is installed anew; ");
        }
        let simulation = Simulation::new(world, rng.next());
        if round == kills {
            return recover(&simulation, kill, &calm.whole)
                .map_err(|why| format!("{went}\n    {why}"));
        }
        simulation.keep_history();
        // It may be refused: the next one may not.
        let _ = simulation.run(Some(&stage().pki));
        later = simulation.history();
    }
    unreachable!()
}

#[test]
fn from_any_state_an_apply_makes_what_is_meant_or_changes_nothing() {
    let seeds: Vec<u64> = (1..=INVENTORIES).collect();
    all(
        "inventories",
        &seeds,
        |seed| format!("seed {seed}: {:?}", Shape::random(&mut Rng::new(*seed))),
        |seed| {
            let mut rng = Rng::new(*seed);
            let start = start(&Shape::random(&mut rng), &mut rng);
            let calm = undisturbed(start.clone(), *seed)?;
            Ok(vec![disturbed(&start, &calm, &mut rng)?])
        },
    );
}

#[test]
fn another_clusters_node_is_left_alone() {
    let mut world = Shape::whole().world();
    let theirs = Pki::generate().unwrap();
    world.machine_mut("w-2").write(&key("ca.crt"), 0o644, theirs.ca_pem());
    let simulation = Simulation::new(world, 1);
    let before = simulation.world().portrait();
    let refused = simulation.run(Some(&stage().pki)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Preflight, "{refused}");
    assert_eq!(simulation.world().portrait(), before);
}
