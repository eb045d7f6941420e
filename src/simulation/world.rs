//! All machines, and what their control planes keep, as data. A copy of it is what a kill leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::Value;

use super::hub::Known;
use super::machine::Machine;
use super::pod::Pod;
use crate::cluster::{Cluster, Endpoint};
use crate::inventory::Inventory;
use crate::session::Purpose;

/// Everything that there is.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The inventory as it was at first.
    pub(super) file: Arc<Inventory>,
    /// What the inventory means since.
    pub(super) meant: Arc<Cluster>,
    /// Nodes that a person takes out: runs are for that, as long as there are any.
    pub(super) leaving: Vec<String>,
    /// What a person has done to nodes, and to which.
    pub(super) maintained: Option<(Purpose, Vec<String>)>,
    /// Machines that are switched off, by name.
    pub(super) dark: BTreeSet<String>,
    /// Where clients find the cluster, whatever the inventory says since.
    pub(super) served: Endpoint,
    pub(super) machines: BTreeMap<String, Machine>,
    /// What was ever started as an etcd cluster of its own.
    pub(super) stores: Vec<Store>,
    /// What the hub knows of the cluster, where there is one.
    pub(super) hub: Option<Known>,
    /// Nothing comes about by itself for now.
    pub(super) still: bool,
    /// What must never happen, and did.
    pub(super) faults: Vec<String>,
    /// How many commands have begun to change a machine.
    pub(super) changes: usize,
    serial: u64,
}

/// An etcd cluster, and the Kubernetes objects in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    pub(super) members: Vec<Member>,
    pub(super) objects: Objects,
    /// Another node has joined it, or its `init` has come to its end.
    pub(super) counts: bool,
    /// Whether it had a quorum after the last event.
    pub(super) held: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: u64,
    /// Empty until it has started.
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) learner: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub(super) nodes: BTreeMap<String, NodeObject>,
    /// ConfigMaps of `kube-system`, and `cluster-info`.
    pub(super) configs: BTreeMap<String, String>,
    /// Bootstrap tokens that are valid, `id.secret`, and their descriptions.
    pub(super) tokens: BTreeMap<String, String>,
    /// Whether everybody who has a token becomes the node of his choice.
    pub(super) auto_approval: bool,
    /// TLS Secrets of `kube-system`.
    pub(super) secrets: BTreeSet<String>,
    /// What slipway applied, by kind, namespace and name; Nodes apart.
    pub(super) applied: BTreeMap<String, Value>,
    /// kubeadm's objects beside ConfigMaps, by kind, namespace and name.
    pub(super) made: BTreeSet<String>,
    /// A pod of CoreDNS was moved to another node.
    pub(super) spread: bool,
    /// The credential of the hub's that the agent has.
    pub(super) agent: Option<u64>,
    /// Whether `admin.conf` has rights.
    pub(super) admin: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct NodeObject {
    pub(super) uid: u64,
    /// Labels that kubeadm set.
    pub(super) labels: BTreeSet<String>,
    /// Labels that slipway owns.
    pub(super) own: Option<Value>,
    /// Key, value, effect.
    pub(super) taints: BTreeSet<(String, String, String)>,
    /// The internal address that its kubelet told.
    pub(super) address: String,
    /// The condition; it outlives its kubelet for a while.
    pub(super) ready: bool,
    /// The version that its kubelet told.
    pub(super) version: String,
    /// Whether no pods come; and whether that is slipway's doing.
    pub(super) cordoned: bool,
    pub(super) by_us: bool,
    /// How often its pods were evicted.
    pub(super) drained: usize,
}

impl World {
    pub(super) fn new(file: Arc<Inventory>) -> Self {
        let meant = Arc::new(file.cluster.clone());
        let bare = |node: &crate::cluster::Node| (node.name.clone(), Machine::bare(node));
        Self {
            machines: meant.nodes.iter().map(bare).collect(),
            served: meant.endpoint.clone(),
            meant,
            file,
            leaving: Vec::new(),
            maintained: None,
            dark: BTreeSet::new(),
            stores: Vec::new(),
            hub: None,
            still: false,
            faults: Vec::new(),
            changes: 0,
            serial: 1,
        }
    }

    /// A number that nothing else has.
    pub(super) fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn machine(&self, name: &str) -> &Machine {
        &self.machines[name]
    }

    pub(super) fn machine_mut(&mut self, name: &str) -> &mut Machine {
        self.machines.get_mut(name).unwrap()
    }

    /// The machine that an inventory's node leads to.
    pub(super) fn at(&self, host: &str) -> &Machine {
        let is = |m: &&Machine| [m.address, m.second].iter().any(|a| a.to_string() == host);
        self.machines.values().find(is).unwrap()
    }

    /// The machine that is the node of that name.
    pub(super) fn of_node(&self, node: &str) -> Option<&Machine> {
        self.machines.values().find(|machine| machine.registered && machine.node == node)
    }

    pub(super) fn member(&self, machine: &Machine) -> Option<(usize, &Member)> {
        let data = machine.data.as_ref()?;
        let member = self.stores[data.store].members.iter().find(|m| m.id == data.member)?;
        Some((data.store, member))
    }

    fn voters(&self, store: usize) -> impl Iterator<Item = &Member> {
        self.stores[store].members.iter().filter(|member| !member.learner)
    }

    pub(super) fn up(&self, store: usize, member: &Member) -> bool {
        self.machines.values().any(|machine| {
            machine.pods.contains(&Pod::Etcd)
                && self.member(machine).is_some_and(|(s, m)| s == store && m.id == member.id)
        })
    }

    pub(super) fn quorum(&self, store: usize) -> bool {
        let voters: Vec<&Member> = self.voters(store).collect();
        let up = voters.iter().filter(|member| self.up(store, member)).count();
        up > voters.len() / 2
    }

    /// How many more members may fail before the cluster that counts loses its quorum.
    pub(super) fn tolerance(&self) -> Option<usize> {
        let store = (0..self.stores.len()).find(|store| self.stores[*store].counts)?;
        let voters: Vec<&Member> = self.voters(store).collect();
        let up = voters.iter().filter(|member| self.up(store, member)).count();
        Some(up.saturating_sub(voters.len() / 2 + 1))
    }

    /// The store whose voting member answers on this machine.
    pub(super) fn etcd(&self, machine: &Machine) -> Option<usize> {
        let (store, member) = self.member(machine)?;
        let runs = machine.pods.contains(&Pod::Etcd);
        (runs && !member.learner && self.quorum(store)).then_some(store)
    }

    /// The store whose API server is ready on this machine.
    pub(super) fn api(&self, machine: &Machine) -> Option<usize> {
        if machine.pods.contains(&Pod::ApiServer) { self.etcd(machine) } else { None }
    }

    /// The store that the cluster's endpoint leads to.
    pub(super) fn endpoint(&self) -> Option<usize> {
        let any = || self.machines.values().find_map(|machine| self.api(machine));
        match &self.served {
            Endpoint::External { .. } => any(),
            Endpoint::Node(address) => {
                let machine = self.machines.values().find(|m| m.node_ip == *address)?;
                self.api(machine)
            }
            Endpoint::Vip { .. } => self.holder().and_then(|_| any()),
        }
    }

    /// The machine that holds the virtual IP.
    pub(super) fn holder(&self) -> Option<&Machine> {
        let works = |m: &Machine| m.active("haproxy.service") && m.active("keepalived.service");
        let holds = |m: &&Machine| works(m) && !self.dark.contains(&m.name);
        self.machines.values().find(holds)
    }

    /// The store that `kubectl` with `admin.conf` works on.
    pub(super) fn admin(&self, machine: &Machine) -> Option<usize> {
        let store = self.endpoint().filter(|_| machine.has("/etc/kubernetes/admin.conf"))?;
        self.stores[store].objects.admin.then_some(store)
    }

    /// The same at the machine's own API server.
    pub(super) fn own_admin(&self, machine: &Machine) -> Option<usize> {
        let store = self.api(machine).filter(|_| machine.has("/etc/kubernetes/admin.conf"))?;
        self.stores[store].objects.admin.then_some(store)
    }

    /// After every event: what must hold at any moment.
    pub(super) fn check(&mut self, event: &str) {
        let mut faults = Vec::new();
        for store in 0..self.stores.len() {
            let (quorum, counts) = (self.quorum(store), self.stores[store].counts);
            if self.stores[store].held && !quorum && counts {
                faults.push(format!("etcd lost its quorum by: {event}"));
            }
            let grown =
                self.stores[store].members.len() > 1 || self.stores[store].objects.nodes.len() > 1;
            self.stores[store].held = quorum;
            self.stores[store].counts |= grown;
        }
        let count = |of: &dyn Fn(usize) -> bool| (0..self.stores.len()).filter(|s| of(*s)).count();
        if count(&|store| self.quorum(store)) > 1 {
            faults.push(format!("two etcd clusters live by: {event}"));
        }
        if count(&|store| self.stores[store].counts && self.has_majority(store)) > 1 {
            faults.push(format!("two clusters count by: {event}"));
        }
        self.faults.extend(faults);
    }

    /// A minute passes: nodes that are silent are not Ready any more.
    pub(super) fn pass_a_minute(&mut self) {
        let silent: Vec<String> =
            self.machines.values().filter(|m| !m.registered).map(|m| m.node.clone()).collect();
        for objects in self.stores.iter_mut().map(|store| &mut store.objects) {
            for name in &silent {
                objects.nodes.entry(name.clone()).and_modify(|node| node.ready = false);
            }
        }
    }

    /// An hour and more passes: tokens expire.
    pub(super) fn pass_hours(&mut self) {
        self.pass_a_minute();
        self.stores.iter_mut().for_each(|store| store.objects.tokens.clear());
    }

    /// Every machine goes off and on again.
    pub(super) fn lose_power(&mut self) {
        self.machines.values_mut().for_each(Machine::reboot);
        self.stores.iter_mut().for_each(|store| store.held = false);
        self.pass_a_minute();
    }

    /// The machine `name` is installed anew, as `bare`.
    pub(super) fn reinstall(&mut self, name: &str, bare: &Machine) {
        let boots = self.machine(name).boots + 1;
        *self.machine_mut(name) = Machine { boots, ..bare.clone() };
        self.stores.iter_mut().for_each(|store| store.held = false);
        self.pass_a_minute();
    }

    /// Whether a cluster that counts has lost its quorum for good: members that vote have lost their
    /// data.
    pub(super) fn lost_quorum(&self) -> bool {
        (0..self.stores.len()).any(|store| self.stores[store].counts && !self.has_majority(store))
    }

    /// Whether most voting members still have their data.
    fn has_majority(&self, store: usize) -> bool {
        let has_data = |member: &&Member| {
            self.machines.values().any(|machine| {
                self.member(machine).is_some_and(|(s, m)| s == store && m.id == member.id)
            })
        };
        self.voters(store).filter(has_data).count() > self.voters(store).count() / 2
    }

    /// kubeadm ends in its middle, wherever it works.
    pub(super) fn end_kubeadm(&mut self) {
        self.machines.values_mut().for_each(|machine| machine.kubeadm = None);
    }

    /// Everything that two clusters that are the same have in common, by name: no UIDs, tokens,
    /// times.
    pub(super) fn portrait(&self) -> BTreeMap<String, String> {
        let mut lines = BTreeMap::new();
        for machine in self.machines.values() {
            for (what, how) in machine.portrait() {
                lines.insert(format!("{}: {what}", machine.name), how);
            }
            let member = self.member(machine).map(|(_, m)| format!("learner {}", m.learner));
            lines.insert(format!("{}: etcd member", machine.name), format!("{member:?}"));
        }
        lines.insert("registered".to_owned(), format!("{:?}", self.is_registered()));
        let Some(store) = self.endpoint().map(|store| &self.stores[store]) else { return lines };
        let mut names: Vec<&str> = store.members.iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        lines.insert("etcd's members".to_owned(), names.join(" "));
        for (name, node) in &store.objects.nodes {
            let NodeObject { labels, own, taints, address, ready, version, cordoned, .. } = node;
            let about = format!(
                "{labels:?} {own:?} {taints:?} {address} ready {ready} {version} cordoned {cordoned}"
            );
            lines.insert(format!("Node {name}"), about);
        }
        let applied = store.objects.applied.iter().map(|(k, v)| (k.clone(), v.to_string()));
        lines.extend(applied.chain(store.objects.configs.clone()));
        lines.insert("bootstrap tokens".to_owned(), store.objects.tokens.len().to_string());
        lines.insert("auto-approval".to_owned(), store.objects.auto_approval.to_string());
        lines.insert("secrets".to_owned(), format!("{:?}", store.objects.secrets));
        lines.insert("kubeadm's objects".to_owned(), format!("{:?}", store.objects.made));
        lines
    }
}
