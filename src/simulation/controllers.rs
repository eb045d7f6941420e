//! What goes on without slipway: kubelets start pods, get certificates and register their nodes; etcd and
//! API servers come up; a pod network makes nodes Ready. One event at a time.

use super::machine::{BOOTSTRAP, CREDENTIALS, Data, ETCD_MANIFEST, KUBELET_CONF};
use super::machine::{Machine, SERVING};
use super::pod::Pod;
use super::world::{Member, NodeObject, Store, World};
use super::written::{FLAGS, registers_with};
use crate::approver::client::JOINS_OF;

/// Looks at one machine and changes one thing there, or nothing; says whether it did.
type Rule = fn(&mut World, &str) -> bool;

/// What happens without slipway, and how.
const RULES: &[(&str, Rule)] = &[
    ("etcd without data or membership ends", |world, name| {
        let machine = world.machine(name);
        // A reset takes the data away shortly before it ends the pods.
        let reset = machine.kubeadm.as_ref().is_some_and(|process| process.verb == "reset");
        let ends = machine.pods.contains(&Pod::Etcd) && world.member(machine).is_none() && !reset;
        ends && world.machine_mut(name).pods.remove(&Pod::Etcd)
    }),
    ("a static pod ends", |world, name| {
        let machine = world.machine(name);
        let gone = |pod: &Pod| machine.pods.contains(pod) && !machine.has(&pod.manifest());
        let gone = Pod::ALL.into_iter().find(gone).filter(|_| machine.kubelet_works());
        gone.is_some_and(|pod| world.machine_mut(name).pods.remove(&pod))
    }),
    ("etcd starts", etcd),
    ("a static pod starts", |world, name| {
        let machine = world.machine(name);
        let starts = |pod: &Pod| {
            *pod != Pod::Etcd
                && !machine.pods.contains(pod)
                && !machine.broken.contains(pod)
                && machine.has(&pod.manifest())
                && machine.has_image_of(*pod)
        };
        let wanted = Pod::ALL.into_iter().find(starts).filter(|_| machine.kubelet_works());
        wanted.is_some_and(|pod| world.machine_mut(name).pods.insert(pod))
    }),
    ("a kubelet says where its certificate will be", |world, name| {
        let machine = world.machine(name);
        let asks = machine.kubelet_works() && machine.has(BOOTSTRAP) && !machine.has(KUBELET_CONF);
        if asks {
            world.write(name, KUBELET_CONF, "the rotated certificate");
        }
        asks
    }),
    ("a kubelet gets its certificate", credentials),
    ("a kubelet registers its node", register),
    ("a kubelet gets its serving certificate", serving),
    ("the pod network comes up", network),
    ("the agent joins the hub", World::join_hub),
];

impl World {
    /// Lets one controller make its next change; gives what it changed.
    pub(super) fn run_controller(&mut self) -> Option<String> {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            for (what, rule) in RULES {
                if rule(self, &name) {
                    return Some(format!("{what} on {name}"));
                }
            }
        }
        None
    }

    /// Where a kubelet's API server is: on a control plane its own.
    pub(super) fn of_kubelet(&self, machine: &Machine) -> Option<usize> {
        if machine.worker { self.endpoint() } else { self.api(machine) }
    }
}

fn etcd(world: &mut World, name: &str) -> bool {
    let machine = world.machine(name);
    let wanted = machine.kubelet_works()
        && machine.has(ETCD_MANIFEST)
        && machine.has_image_of(Pod::Etcd)
        && !machine.pods.contains(&Pod::Etcd);
    if !wanted {
        return false;
    }
    let address = machine.node_ip;
    let node = machine.node.clone();
    let found = match &machine.data {
        // Removed from the list, it ends at once.
        Some(data) => world.member(machine).map(|_| *data),
        None if !machine.text(ETCD_MANIFEST).contains("-state=existing") => {
            // etcd computes it from the member's addresses alone.
            let id = u64::from(address.to_bits());
            let member = Member { id, name: String::new(), address, learner: false };
            world.stores.push(Store { members: vec![member], ..Store::default() });
            Some(Data { store: world.stores.len() - 1, member: id })
        }
        // Known to the others, and never started.
        None => (0..world.stores.len()).filter(|store| world.quorum(*store)).find_map(|store| {
            let new = |m: &&Member| m.address == address && m.name.is_empty();
            let member = world.stores[store].members.iter().find(new)?.id;
            Some(Data { store, member })
        }),
    };
    let Some(data) = found else { return false };
    let members = &mut world.stores[data.store].members;
    for member in members.iter_mut().filter(|member| member.id == data.member) {
        member.name.clone_from(&node);
    }
    let machine = world.machine_mut(name);
    machine.data = Some(data);
    machine.pods.insert(Pod::Etcd)
}

fn credentials(world: &mut World, name: &str) -> bool {
    let machine = world.machine(name);
    if !machine.kubelet_works() || machine.text(CREDENTIALS) == "valid" {
        return false;
    }
    let token = machine.text(BOOTSTRAP);
    let bootstraps = machine.has(BOOTSTRAP)
        && world.of_kubelet(machine).is_some_and(|store| {
            let objects = &world.stores[store].objects;
            objects.tokens.get(&token).is_some_and(|about| {
                objects.auto_approval || lets_join(world, store, machine, about)
            })
        });
    let gets = machine.text(KUBELET_CONF) == "embedded" || bootstraps;
    if gets {
        world.write(name, CREDENTIALS, "valid");
    }
    gets
}

fn register(world: &mut World, name: &str) -> bool {
    let machine = world.machine(name);
    let may = machine.kubelet_works()
        && machine.has(KUBELET_CONF)
        && machine.text(CREDENTIALS) == "valid"
        && !machine.registered;
    let Some(store) = world.of_kubelet(machine).filter(|_| may) else { return false };
    let taints = registers_with(&machine.text(FLAGS));
    let (node, address) = (machine.node.clone(), machine.node_ip);
    let version = machine.kubelet.clone();
    let uid = world.number();
    world.machine_mut(name).registered = true;
    let object = world.stores[store].objects.nodes.entry(node).or_insert_with(|| NodeObject {
        uid,
        address: address.to_string(),
        taints: taints.into_iter().collect(),
        ..NodeObject::default()
    });
    object.version = version;
    true
}

/// Whether an approver finds that the machine's node is joining now by a token with that description.
fn lets_join(world: &World, store: usize, machine: &Machine, about: &str) -> bool {
    let node = &machine.node;
    let expected =
        about.strip_prefix(JOINS_OF).is_some_and(|names| names.split(' ').any(|n| n == node));
    let lives = world.stores[store].objects.nodes.get(node).is_some_and(|node| node.ready);
    expected && !lives && world.machines.values().any(|other| approves(world, other, machine))
}

/// Whether an approver works on `other` that knows the node of `machine`.
fn approves(world: &World, other: &Machine, machine: &Machine) -> bool {
    let list: serde_json::Value =
        serde_json::from_str(&other.text("/etc/slipway/nodes.json")).unwrap_or_default();
    other.active("slipway-approver.service")
        && world.admin(other).is_some()
        && list[&machine.node][0] == machine.node_ip.to_string()
}

/// Asked for by the kubelet, and granted by an approver whose list has the node.
fn serving(world: &mut World, name: &str) -> bool {
    let machine = world.machine(name);
    if !machine.registered || machine.has(SERVING) || world.of_kubelet(machine).is_none() {
        return false;
    }
    let granted = world.machines.values().any(|other| approves(world, other, machine));
    if granted {
        world.write(name, SERVING, "signed by the cluster");
    }
    granted
}

fn network(world: &mut World, name: &str) -> bool {
    let machine = world.machine(name);
    let Some(store) = world.endpoint() else { return false };
    let objects = &world.stores[store].objects;
    let calico = objects.applied.contains_key("DaemonSet/kube-system/calico-node");
    let images = ["calico-node", "calico-cni", "kube-proxy"];
    let up = machine.registered && calico && images.iter().all(|image| machine.has_image(image));
    let node = machine.node.clone();
    let ready = objects.nodes.get(&node).is_some_and(|node| node.ready);
    if !up || ready || !objects.nodes.contains_key(&node) {
        return false;
    }
    world.write(name, "/etc/cni/net.d/10-calico.conflist", "calico");
    world.stores[store].objects.nodes.entry(node).and_modify(|node| node.ready = true);
    true
}
