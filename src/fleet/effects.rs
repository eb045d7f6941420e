//! What commands do to the world, one deed at a time.

use serde_json::Value;

use super::deeds::Deed;
use super::machine::{CREDENTIALS, Machine, is_swap};
use super::world::World;
use crate::approver::client::{AUTO_APPROVAL, JOINS_OF};

/// Kind, namespace and name.
pub(super) fn name_of(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn refused() -> String {
    "dial tcp: connect: connection refused".to_owned()
}

impl World {
    /// Does one deed; all but kubeadm's phases.
    pub(super) fn carry_out(&mut self, name: &str, deed: &Deed) -> Result<(), String> {
        match deed.clone() {
            Deed::Kubeadm { unless, words, config } => {
                if unless
                    .is_some_and(|certificate| self.machine(name).text(&certificate) == "valid")
                {
                    return Ok(());
                }
                return self.begin_kubeadm(name, &words, &config);
            }
            Deed::Apply(object) => return self.apply(name, object),
            Deed::Corefile(from, to) => return self.corefile(name, &from, to),
            Deed::Taint(node, taints) => return self.taint(name, &node, &taints),
            Deed::EndPods(value) => self.end_pods(name, &value),
            Deed::MoveDns => match self.admin(self.machine(name)) {
                Some(store) => self.stores[store].objects.spread = true,
                None => return Err(refused()),
            },
            Deed::RemoveMember(id) => return self.remove_member(name, &id),
            Deed::DeleteNode(node, options) => return self.delete_node(name, &node, &options),
            Deed::RemoveTokens => {
                // It tries for a while, and leaves them where nobody answers.
                if let Some(store) = self.admin(self.machine(name)) {
                    self.stores[store]
                        .objects
                        .tokens
                        .retain(|_, about| !about.starts_with(JOINS_OF));
                }
            }
            Deed::RemoveBinding(binding) => {
                assert_eq!(binding, AUTO_APPROVAL);
                let Some(store) = self.admin(self.machine(name)) else { return Err(refused()) };
                self.stores[store].objects.auto_approval = false;
            }
            Deed::Write { path, mode, bytes } => {
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
    fn do_one(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Folder(path) => drop(self.folders.insert(path)),
            Deed::Remove(path) => self.remove(&path),
            Deed::KernelHostname(name) => self.hostname = name,
            Deed::SwapOff => self.swap = false,
            Deed::NoFstabSwap => {
                let line =
                    |line: &str| format!("{}{line}\n", if is_swap(line) { "# " } else { "" });
                let text: String = self.text("/etc/fstab").lines().map(line).collect();
                self.write("/etc/fstab", 0o644, text.as_bytes());
            }
            Deed::Module(name) => self.load(&name),
            Deed::Sysctl(key, value) => drop(self.sysctls.insert(key, value)),
            Deed::Install(package) => self.install(&package),
            Deed::Enable(unit) if !self.has_unit(&unit) => return Err(format!("{unit} not found")),
            Deed::Enable(unit) => self.units.entry(unit).or_default().enabled = true,
            Deed::Start(unit) => self.start(&unit)?,
            Deed::Stop(unit) => self.stop(&unit),
            Deed::Stamp(unit, stamp) => drop(self.stamps.insert(unit, stamp)),
            Deed::Import(..) if !self.active("containerd.service") => {
                return Err("cannot dial /run/containerd/containerd.sock".to_owned());
            }
            Deed::Import(reference, digest) => drop(self.images.insert(reference, digest)),
            Deed::Nothing => {}
            Deed::WaitForClock => self.on_time = self.active("chrony.service"),
            Deed::AskAgain if self.has(CREDENTIALS) => {}
            Deed::AskAgain => self.start("kubelet.service")?,
            other => panic!("not a machine's: {other:?}"),
        }
        Ok(())
    }
}
