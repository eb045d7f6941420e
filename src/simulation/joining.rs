//! kubeadm's phases that change the cluster, and those that undo its work on a machine.

use serde_json::Value;

use super::MARK;
use super::kubeadm::{Phase, Process, key};
use super::machine::{API_MANIFEST, CREDENTIALS, KUBELET_CONF, Machine};
use super::pod::Pod;
use super::world::{Member, Objects, World};
use super::written::{COREFILE, MADE};
use crate::pki::identity_of;

impl World {
    /// Phases that work on the cluster's API or on etcd.
    pub(super) fn in_the_cluster(
        &mut self,
        name: &str,
        process: &Process,
        phase: &'static str,
    ) -> Phase {
        let machine = self.machine(name);
        let address = machine.node_ip;
        // `init` works on its own API server, a join on whatever `admin.conf` leads to.
        let store = if process.verb == "init" { self.api(machine) } else { self.admin(machine) };
        let Some(store) = store else { return Ok(false) };
        let ca = machine.files.get(&key("ca.crt")).map(|file| file.bytes.clone());
        let node = machine.node.clone();
        let number = self.number();
        let found = &mut self.stores[store];
        let configs = &mut found.objects.configs;
        let mut keep = |config: &str, text: String| drop(configs.insert(config.to_owned(), text));
        let text = |kind| process.document(kind).to_string();
        match phase {
            "upload-config/admin" => {
                found.objects.admin = true;
                found.objects.made.insert(MADE[0].to_owned());
            }
            "upload-config/kubeadm" => keep("kubeadm-config", text("ClusterConfiguration")),
            "upload-config/kubelet" => keep("kubelet-config", text("KubeletConfiguration")),
            "mark-control-plane" => {
                let Some(node) = found.objects.nodes.get_mut(&node) else { return Ok(false) };
                node.labels.insert(MARK.to_owned());
                node.taints.extend(process.taints(false));
            }
            "bootstrap-token/token" => {
                let token = &process.own()["bootstrapTokens"][0];
                let part = |key: &str| token[key].as_str().unwrap().to_owned();
                found.objects.tokens.insert(part("token"), part("description"));
                found.objects.auto_approval = true;
            }
            "bootstrap-token/cluster-info" => {
                let ca = String::from_utf8(ca.unwrap().to_vec()).unwrap();
                keep("cluster-info", format!("{}\n{ca}", identity_of(ca.as_bytes()).unwrap()));
            }
            "kubelet-finalize" => {
                self.write(name, KUBELET_CONF, "the rotated certificate");
                self.machine_mut(name).start("kubelet.service")?;
            }
            "addon/coredns" => {
                keep("coredns", COREFILE.to_owned());
                found.objects.made.extend(MADE[1..].iter().map(|name| (*name).to_owned()));
            }
            "addon/kube-proxy" => {
                keep("kube-proxy", text("KubeProxyConfiguration"));
                found.counts = true;
            }
            "check-etcd" => {}
            "etcd-join/add" => {
                if found.members.iter().any(|member| member.address == address) {
                    return Ok(true);
                }
                if found.members.iter().any(|member| member.learner) {
                    // "too many learner members in cluster"
                    return Ok(false);
                }
                let member = Member { id: number, name: String::new(), address, learner: true };
                found.members.push(member);
            }
            "etcd-join/promote" => {
                let member = found.members.iter_mut().find(|member| member.address == address);
                let Some(member) = member else { return Err("member not found".to_owned()) };
                if member.name.is_empty() {
                    return Ok(false);
                }
                member.learner = false;
            }
            phase => panic!("an unknown phase: {phase}"),
        }
        Ok(true)
    }

    /// `kubeadm reset`, which works on with a warning where the cluster does not answer.
    pub(super) fn reset(&mut self, name: &str, phase: &'static str) {
        match phase {
            "reset/member" => self.leave_etcd(name),
            "reset/data" => {
                let machine = self.machine_mut(name);
                machine.data = None;
                machine.folders.remove("/var/lib/etcd/lost+found");
            }
            "reset/kubelet" => self.machine_mut(name).stop("kubelet.service"),
            "reset/containers" => self.machine_mut(name).pods.clear(),
            "reset/manifests" => self.machine_mut(name).empty("/etc/kubernetes/manifests"),
            "reset/kubelet-folder" => self.machine_mut(name).empty("/var/lib/kubelet"),
            "reset/pki" => self.machine_mut(name).empty("/etc/kubernetes/pki"),
            phase => {
                let file = phase.trim_start_matches("reset/");
                self.machine_mut(name).remove(&format!("/etc/kubernetes/{file}"));
            }
        }
    }

    fn leave_etcd(&mut self, name: &str) {
        let machine = self.machine(name);
        let address = machine.node_ip;
        let member = self.member(machine);
        let votes = member.is_some_and(|(store, m)| !m.learner && self.stores[store].counts);
        // A kubelet that its cluster hears runs pods: those of users, but on half a control plane.
        let works = machine.registered && (machine.worker || machine.data.is_some());
        let works = works && !self.leaving.contains(&machine.node);
        let pods = |objects: &Objects| {
            objects
                .nodes
                .get(&machine.node)
                .is_some_and(|node| node.ready && (machine.worker || node.labels.contains(MARK)))
        };
        if works && self.stores.iter().any(|store| store.counts && pods(&store.objects)) {
            self.faults.push(format!("{name}, which runs pods, is reset"));
        }
        let machine = self.machine(name);
        let store = self.admin(machine).filter(|store| self.tells_itself(machine, *store));
        if votes {
            self.faults.push(format!("{name}, which votes in etcd, is reset"));
        }
        let Some(store) = store else { return };
        let members = &mut self.stores[store].members;
        if members.len() > 1 {
            members.retain(|member| member.address != address);
        }
    }

    /// Whether kubeadm can read the cluster's configuration for this node: it asks for the Node of
    /// its kubelet's certificate, and its API server's pod (`app/util/config/cluster.go`).
    fn tells_itself(&self, machine: &Machine, store: usize) -> bool {
        let objects = &self.stores[store].objects;
        let certificate = machine.has(CREDENTIALS) || machine.text(KUBELET_CONF) == "embedded";
        machine.has(KUBELET_CONF)
            && certificate
            && objects.configs.contains_key("kubeadm-config")
            && objects.nodes.contains_key(&machine.node)
            && (!machine.has(API_MANIFEST) || machine.pods.contains(&Pod::ApiServer))
    }

    /// Removes an etcd member by its id, as `etcdctl` on that machine does.
    pub(super) fn remove_member(&mut self, name: &str, id: &str) -> Result<(), String> {
        let Some(store) = self.etcd(self.machine(name)) else {
            return Err("context deadline exceeded".to_owned());
        };
        let lives = |machine: &Machine| {
            let member = self.member(machine).map(|(s, m)| (s, format!("{:x}", m.id), m.learner));
            member == Some((store, id.to_owned(), false)) && machine.pods.contains(&Pod::Etcd)
        };
        let stays = |machine: &&Machine| !self.leaving.contains(&machine.name);
        let living = self.machines.values().filter(stays).find(|machine| lives(machine));
        if let Some(name) = living.map(|machine| machine.name.clone()) {
            self.faults.push(format!("the living member of {name} is removed"));
        }
        let voters = |member: &&Member| !member.learner && format!("{:x}", member.id) != id;
        let left: Vec<&Member> = self.stores[store].members.iter().filter(voters).collect();
        let started = left.iter().filter(|member| self.up(store, member)).count();
        if started <= left.len() / 2 {
            let why = "etcdserver: re-configuration failed due to not enough started members";
            return Err(why.to_owned());
        }
        self.stores[store].members.retain(|member| format!("{:x}", member.id) != id);
        Ok(())
    }

    /// Deletes a Node object if it has that UID.
    pub(super) fn delete_node(
        &mut self,
        at: &str,
        name: &str,
        options: &Value,
    ) -> Result<(), String> {
        let Some(store) = self.admin(self.machine(at)) else {
            return Err("connection refused".to_owned());
        };
        let wanted = options["preconditions"]["uid"].as_str().unwrap();
        let nodes = &mut self.stores[store].objects.nodes;
        let found = nodes.get(name).map(|node| format!("uid-{}", node.uid));
        if found.as_deref() != Some(wanted) {
            return Err("the UID in the precondition does not match".to_owned());
        }
        nodes.remove(name);
        // What is reset may still have a kubelet.
        let whole = |machine: &Machine| machine.worker || machine.data.is_some();
        if self.of_node(name).is_some_and(whole) {
            self.faults.push(format!("the Node of {name}, which is a member, is deleted"));
        }
        Ok(())
    }
}
