//! The effects that commands have on the world, one at a time.

use serde_json::Value;

use super::machine::{CREDENTIALS, Machine, is_swap};
use super::world::World;
use crate::approver::client::{AUTO_APPROVAL, JOINS_OF};

/// One thing that a command does.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Write {
        path: String,
        mode: u32,
        bytes: Vec<u8>,
    },
    Folder(String),
    Remove(String),
    KernelHostname(String),
    SwapOff,
    NoFstabSwap,
    Module(String),
    Sysctl(String, String),
    Install(String),
    Enable(String),
    /// Starts a unit anew, or reloads it.
    Start(String),
    Stop(String),
    /// Ends a unit for good.
    Disable(String),
    Stamp(String, String),
    Import(String, String),
    WaitForClock,
    /// kubeadm's words and configuration; its phases follow. Nothing `unless` that is no valid
    /// certificate.
    Kubeadm {
        unless: Option<String>,
        words: Vec<String>,
        config: String,
    },
    AskAgain,
    Apply(Value),
    /// A change of CoreDNS' Corefile: from what, to what.
    Corefile(String, String),
    Taint(String, Vec<String>),
    /// kubeadm issues the API server's certificate for that ClusterConfiguration.
    Certificate(Value),
    /// Pods whose label has that value are made anew.
    EndPods(String),
    /// A pod of CoreDNS is made on another node.
    MoveDns,
    /// The node's pods are evicted, and no others come, nor to those that are drained later.
    Drain(String, Vec<String>),
    /// A person keeps pods away from the node, or lets them come.
    Cordon(String, bool),
    /// The node takes pods again, once its kubelet has that version.
    Return(String, String),
    /// Nothing that matters here.
    Nothing,
    RemoveMember(String),
    DeleteNode(String, Value),
    /// Bootstrap tokens of slipway's.
    RemoveTokens,
    RemoveBinding(String),
    /// The agent gets this credential of the hub's.
    Credential(u64),
}

/// Kind, namespace and name.
pub(super) fn name_of(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn refused() -> String {
    "dial tcp: connect: connection refused".to_owned()
}

impl World {
    /// Carries out one effect; all but kubeadm's phases.
    pub(super) fn carry_out(&mut self, name: &str, effect: &Effect) -> Result<(), String> {
        match effect.clone() {
            Effect::Kubeadm { unless, words, config } => {
                if unless
                    .is_some_and(|certificate| self.machine(name).text(&certificate) == "valid")
                {
                    return Ok(());
                }
                return self.begin_kubeadm(name, &words, &config);
            }
            Effect::Apply(object) => return self.apply(name, object),
            Effect::Corefile(from, to) => return self.corefile(name, &from, to),
            Effect::Taint(node, taints) => return self.taint(name, &node, &taints),
            Effect::Certificate(cluster) => self.issue(name, &cluster),
            Effect::EndPods(value) => self.end_pods(name, &value),
            Effect::MoveDns => match self.admin(self.machine(name)) {
                Some(store) => self.stores[store].objects.spread = true,
                None => return Err(refused()),
            },
            Effect::Drain(node, later) => return self.drain(name, &node, &later),
            Effect::Cordon(node, cordoned) => return self.cordon(name, &node, cordoned),
            Effect::Return(node, version) => return self.return_node(name, &node, &version),
            Effect::RemoveMember(id) => return self.remove_member(name, &id),
            Effect::DeleteNode(node, options) => return self.delete_node(name, &node, &options),
            Effect::RemoveTokens => {
                // It tries for a while, and leaves them where nobody answers.
                if let Some(store) = self.admin(self.machine(name)) {
                    self.stores[store]
                        .objects
                        .tokens
                        .retain(|_, about| !about.starts_with(JOINS_OF));
                }
            }
            Effect::Credential(credential) => {
                let Some(store) = self.admin(self.machine(name)) else { return Err(refused()) };
                self.stores[store].objects.agent = Some(credential);
            }
            Effect::RemoveBinding(binding) => {
                assert_eq!(binding, AUTO_APPROVAL);
                let Some(store) = self.admin(self.machine(name)) else { return Err(refused()) };
                self.stores[store].objects.auto_approval = false;
            }
            Effect::Write { path, mode, bytes } => {
                let old = self.machine(name).files.get(&path);
                if path.starts_with("/etc/kubernetes/pki/")
                    && old.is_some_and(|o| *o.bytes != *bytes)
                {
                    self.faults.push(format!("{path} on {name} is overwritten"));
                }
                self.machine_mut(name).write(&path, mode, &bytes);
            }
            other => return self.machine_mut(name).do_one(other),
        }
        Ok(())
    }

    fn apply(&mut self, at: &str, object: Value) -> Result<(), String> {
        let Some(store) = self.admin(self.machine(at)) else {
            return Err(refused());
        };
        if self.keep_kubeadms(store, &object) {
            return Ok(());
        }
        let uid = self.number();
        let objects = &mut self.stores[store].objects;
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = text("/metadata/name").to_owned();
        match (text("/kind"), text("/type")) {
            ("Node", _) => {
                let node = objects.nodes.entry(name).or_default();
                node.uid = if node.uid == 0 { uid } else { node.uid };
                node.own = Some(object);
            }
            ("Secret", "bootstrap.kubernetes.io/token") => {
                let part = |key: &str| object["stringData"][key].as_str().unwrap().to_owned();
                let token = format!("{}.{}", part("token-id"), part("token-secret"));
                objects.tokens.insert(token, part("description"));
            }
            ("Secret", _) => drop(objects.secrets.insert(name)),
            _ => drop(objects.applied.insert(name_of(&object), object)),
        }
        Ok(())
    }

    fn drain(&mut self, at: &str, node: &str, later: &[String]) -> Result<(), String> {
        let Some(store) = self.admin(self.machine(at)) else { return Err(refused()) };
        let objects = &mut self.stores[store].objects;
        for name in std::iter::once(node).chain(later.iter().map(String::as_str)) {
            let Some(object) = objects.nodes.get_mut(name) else {
                return Err(format!("nodes {name:?} not found"));
            };
            object.by_us |= !object.cordoned;
            object.cordoned = true;
            object.drained += usize::from(name == node);
        }
        Ok(())
    }

    fn cordon(&mut self, at: &str, node: &str, cordoned: bool) -> Result<(), String> {
        let Some(store) = self.admin(self.machine(at)) else { return Err(refused()) };
        let Some(object) = self.stores[store].objects.nodes.get_mut(node) else {
            return Err(format!("nodes {node:?} not found"));
        };
        object.cordoned = cordoned;
        object.by_us = false;
        Ok(())
    }

    /// A node that a person cordoned stays so.
    fn return_node(&mut self, at: &str, node: &str, version: &str) -> Result<(), String> {
        let Some(store) = self.admin(self.machine(at)) else { return Err(refused()) };
        let objects = &mut self.stores[store].objects;
        let Some(object) = objects.nodes.get_mut(node) else {
            return Err(format!("nodes {node:?} not found"));
        };
        if format!("v{}", object.version) != version || !object.ready {
            return Err(format!("{node} is not Ready with {version}: {object:?}"));
        }
        if std::mem::take(&mut object.by_us) {
            object.cordoned = false;
        }
        Ok(())
    }

    /// The kubelet makes these pods anew.
    fn end_pods(&mut self, name: &str, value: &str) {
        if value == "calico-node" {
            let store = self.endpoint();
            let calico = |store: usize| {
                let applied = &self.stores[store].objects.applied;
                applied.contains_key("DaemonSet/kube-system/calico-node")
            };
            if store.is_some_and(calico) && self.machine(name).has_image("calico-cni") {
                self.write(name, "/etc/cni/net.d/10-calico.conflist", "calico");
            }
        }
        let machine = self.machine_mut(name);
        machine.broken.retain(|pod| pod.name() != value);
        machine.pods.retain(|pod| pod.name() != value);
    }

    fn corefile(&mut self, at: &str, from: &str, to: String) -> Result<(), String> {
        let Some(store) = self.admin(self.machine(at)) else {
            return Err("dial tcp: connect: connection refused".to_owned());
        };
        match self.stores[store].objects.configs.get_mut("coredns") {
            Some(corefile) if corefile == from => *corefile = to,
            _ => return Err("the server rejected our request: testing value failed".to_owned()),
        }
        Ok(())
    }

    fn taint(&mut self, at: &str, node: &str, taints: &[String]) -> Result<(), String> {
        let Some(store) = self.admin(self.machine(at)) else {
            return Err(refused());
        };
        let Some(node) = self.stores[store].objects.nodes.get_mut(node) else {
            return Err(format!("nodes {node:?} not found"));
        };
        for taint in taints {
            let (pair, effect) = taint.rsplit_once(':').unwrap();
            if let Some(effect) = effect.strip_suffix('-') {
                let before = node.taints.len();
                node.taints.retain(|(key, _, e)| key != pair || e != effect);
                assert_ne!(node.taints.len(), before, "kubectl does not find {taint}");
                continue;
            }
            let (key, value) = pair.split_once('=').unwrap();
            node.taints.retain(|(k, _, e)| k != key || e != effect);
            node.taints.insert((key.to_owned(), value.to_owned(), effect.to_owned()));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, name: &str, path: &str, text: &str) {
        self.machine_mut(name).write(path, 0o600, text.as_bytes());
    }
}

impl Machine {
    fn do_one(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Folder(path) => drop(self.folders.insert(path)),
            Effect::Remove(path) => self.remove(&path),
            Effect::KernelHostname(name) => self.hostname = name,
            Effect::SwapOff => self.swap = false,
            Effect::NoFstabSwap => {
                let line =
                    |line: &str| format!("{}{line}\n", if is_swap(line) { "# " } else { "" });
                let text: String = self.text("/etc/fstab").lines().map(line).collect();
                self.write("/etc/fstab", 0o644, text.as_bytes());
            }
            Effect::Module(name) => self.load(&name),
            Effect::Sysctl(key, value) => drop(self.sysctls.insert(key, value)),
            Effect::Install(package) => self.install(&package),
            Effect::Enable(unit) if !self.has_unit(&unit) => {
                return Err(format!("{unit} not found"));
            }
            Effect::Enable(unit) => self.units.entry(unit).or_default().enabled = true,
            Effect::Start(unit) => self.start(&unit)?,
            Effect::Stop(unit) => self.stop(&unit),
            Effect::Disable(unit) => {
                self.stop(&unit);
                self.units.remove(&unit);
                self.vrrp = self.vrrp.take().filter(|_| unit != "slipway-vrrp.service");
            }
            Effect::Stamp(unit, stamp) => drop(self.stamps.insert(unit, stamp)),
            Effect::Import(..) if !self.active("containerd.service") => {
                return Err("cannot dial /run/containerd/containerd.sock".to_owned());
            }
            Effect::Import(reference, digest) => drop(self.images.insert(reference, digest)),
            Effect::Nothing => {}
            Effect::WaitForClock => self.on_time = self.active("chrony.service"),
            Effect::AskAgain if self.has(CREDENTIALS) => {}
            Effect::AskAgain => self.start("kubelet.service")?,
            other => panic!("not a machine's: {other:?}"),
        }
        Ok(())
    }
}
