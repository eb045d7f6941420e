//! What kubeadm made and somebody changed: a plan shows it, an apply puts it back, and nothing else
//! changes.

use super::MARK;
use super::kills::three_and_two;
use super::machine::KUBELET_CONFIG;
use super::pod::Pod;
use super::recovery::{all, same};
use super::rng::Rng;
use super::run::{Simulation, in_runtime, planned};
use super::stage::stage;
use super::world::World;

/// Something that a person or an accident does to a healthy cluster: what, where a plan must show it
/// (the end of a resource's id), and how.
struct Drift {
    name: &'static str,
    shown: &'static str,
    make: fn(&mut World, &mut Rng),
}

fn control_plane(rng: &mut Rng) -> String {
    (*rng.pick(&["cp-1", "cp-2", "cp-3"])).to_owned()
}

fn node(rng: &mut Rng) -> String {
    (*rng.pick(&["cp-1", "cp-2", "cp-3", "w-1", "w-2"])).to_owned()
}

fn edit(world: &mut World, node: &str, path: &str, from: &str, to: &str) {
    let text = world.machine(node).text(path);
    assert!(text.contains(from), "{path} on {node}: {text}");
    world.write(node, path, &text.replace(from, to));
}

const DRIFTS: &[Drift] = &[
    Drift {
        name: "CoreDNS' Deployment is deleted",
        shown: "kubeadm's objects",
        make: |world, _| {
            let store = world.endpoint().unwrap();
            assert!(world.stores[store].objects.made.remove("Deployment/kube-system/coredns"));
        },
    },
    Drift {
        name: "the rotation of kubelets' certificates is not approved any more",
        shown: "kubeadm's objects",
        make: |world, _| {
            let store = world.endpoint().unwrap();
            let binding = "ClusterRoleBinding//kubeadm:node-autoapprove-certificate-rotation";
            assert!(world.stores[store].objects.made.remove(binding));
        },
    },
    Drift {
        name: "a ConfigMap that joins read is deleted",
        shown: "kubeadm's objects",
        make: |world, rng| {
            let store = world.endpoint().unwrap();
            let config = *rng.pick(&["cluster-info", "coredns", "kube-proxy"]);
            assert!(world.stores[store].objects.configs.remove(config).is_some());
        },
    },
    Drift {
        name: "the taint of a control plane is removed",
        shown: "taints of cp-1",
        make: |world, _| {
            let store = world.endpoint().unwrap();
            let node = world.stores[store].objects.nodes.get_mut("cp-1").unwrap();
            node.taints.retain(|(key, ..)| key != MARK);
        },
    },
    Drift {
        name: "a static pod's flag is edited",
        shown: "static pod kube-apiserver",
        make: |world, rng| {
            let node = control_plane(rng);
            edit(world, &node, &Pod::ApiServer.manifest(), "--cluster=proof", "--cluster=other");
        },
    },
    Drift {
        name: "a flag of etcd is edited",
        shown: "static pod etcd",
        make: |world, rng| {
            let node = control_plane(rng);
            edit(world, &node, &Pod::Etcd.manifest(), "--cluster=proof", "--cluster=other");
        },
    },
    Drift {
        name: "the scheduler's manifest is deleted",
        shown: "static pod kube-scheduler",
        make: |world, rng| {
            let node = control_plane(rng);
            world.machine_mut(&node).remove(&Pod::Scheduler.manifest());
        },
    },
    Drift {
        name: "the scheduler cannot start",
        shown: "kube-scheduler",
        make: |world, rng| {
            let node = control_plane(rng);
            let machine = world.machine_mut(&node);
            machine.pods.remove(&Pod::Scheduler);
            machine.broken.insert(Pod::Scheduler);
        },
    },
    Drift {
        name: "a kubelet rotates no certificates",
        shown: "kubelet's configuration",
        make: |world, rng| {
            let node = node(rng);
            let (from, to) = ("\"rotateCertificates\":true", "\"rotateCertificates\":false");
            edit(world, &node, KUBELET_CONFIG, from, to);
        },
    },
    Drift {
        name: "the pod network's configuration is removed",
        shown: "10-calico.conflist",
        make: |world, rng| {
            let node = node(rng);
            world.machine_mut(&node).remove("/etc/cni/net.d/10-calico.conflist");
        },
    },
];

/// Makes some of them on the whole cluster, and what comes about by itself.
fn drifted(chosen: &[&Drift], rng: &mut Rng) -> World {
    let mut world = three_and_two().moments.last().unwrap().world.clone();
    chosen.iter().for_each(|drift| (drift.make)(&mut world, rng));
    while let Some(event) = world.run_controller() {
        world.check(&event);
    }
    world
}

fn mended(chosen: &[&Drift], seed: u64) -> Result<Vec<&'static str>, String> {
    let whole = &three_and_two().whole;
    let simulation = Simulation::new(drifted(chosen, &mut Rng::new(seed)), seed);
    let session =
        in_runtime(simulation.plan(Some(&stage().pki))).unwrap().map_err(|e| e.to_string())?;
    let planned = planned(&session.plan);
    for drift in chosen {
        let shows = |(place, wait_only): (&super::run::Place, &bool)| {
            place.2.ends_with(drift.shown) && !wait_only
        };
        if !planned.iter().any(shows) {
            return Err(format!("the plan does not show that {}: {planned:?}", drift.name));
        }
    }
    let run = simulation.run(Some(&stage().pki)).map_err(|e| e.to_string())?;
    if !run.outcome.failures.is_empty() || !run.unannounced().is_empty() {
        return Err(format!("{:?}, not announced: {:?}", run.outcome, run.unannounced()));
    }
    same(&simulation, whole)?;
    Ok(vec![if chosen.len() == 1 { "one" } else { "many" }])
}

#[test]
fn whatever_of_kubeadms_is_changed_by_hand_is_shown_and_put_back() {
    let all_at_once: Vec<&Drift> = DRIFTS.iter().collect();
    let one_by_one = DRIFTS.iter().flat_map(|drift| [(vec![drift], 1), (vec![drift], 2)]);
    let cases: Vec<(Vec<&Drift>, u64)> = one_by_one.chain([(all_at_once, 3)]).collect();
    all(
        "drifts",
        &cases,
        |(chosen, seed)| {
            let names: Vec<&str> = chosen.iter().map(|drift| drift.name).collect();
            format!("seed {seed}: {}", names.join("; "))
        },
        |(chosen, seed)| mended(chosen, *seed),
    );
}
