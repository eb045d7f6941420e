//! kubeadm as data: `init`, `join` and `reset`, phase by phase, as Kubernetes 1.37 does them
//! (`cmd/kubeadm/app/cmd`). A copy of a [`Process`] is a kubeadm that has come so far.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use super::checks::{ready_for_a_control_plane, ready_for_a_node};
use super::machine::{BOOTSTRAP, CREDENTIALS, ETCD_MANIFEST, KUBELET_CONF};
use super::pod::Pod;
use super::unmodelled;
use super::world::World;
use super::written::manifest;
use crate::pki;

const HERE: &str = "add its phases in src/simulation/kubeadm.rs";

#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) verb: String,
    worker: bool,
    documents: Arc<[Value]>,
    left: VecDeque<&'static str>,
    waited: usize,
}

/// What became of a phase.
pub(super) enum Went {
    /// It is done.
    On(&'static str),
    /// It waits for something.
    NotYet,
    /// kubeadm came to its end.
    Ended(Result<(), String>),
}

/// A phase's result; `false`: it waits.
pub(super) type Phase = Result<bool, String>;

const INIT: &[&str] = &[
    "preflight/node",
    "preflight/control-plane",
    "certs",
    "kubeconfig/admin",
    "kubeconfig/super-admin",
    "kubeconfig/kubelet",
    "etcd/new",
    "control-plane",
    "kubelet-start/config",
    "kubelet-start/start",
    "wait-control-plane",
    "upload-config/admin",
    "upload-config/kubeadm",
    "upload-config/kubelet",
    "mark-control-plane",
    "bootstrap-token/token",
    "bootstrap-token/cluster-info",
    "kubelet-finalize",
    "addon/coredns",
    "addon/kube-proxy",
    // Not kubeadm's own: the unit that runs it does it at its end.
    "no-super-admin",
];

/// Phases as `skipPhases` names them, and their parts.
const JOIN: &[(&str, &[&str])] = &[
    ("preflight", &["preflight/node", "discovery", "preflight/control-plane"]),
    ("control-plane-prepare", &["certs", "kubeconfig/admin", "control-plane"]),
    ("check-etcd", &["check-etcd"]),
    (
        "kubelet-start",
        &[
            "discovery",
            "kubelet-start/bootstrap",
            "kubelet-start/ca",
            "kubelet-start/check",
            "kubelet-start/stop",
            "kubelet-start/config",
            "kubelet-start/start",
        ],
    ),
    ("etcd-join", &["etcd-join/add", "etcd-join/manifest", "etcd-join/promote", "check-etcd"]),
    ("kubelet-wait-bootstrap", &["discovery", "kubelet-wait-bootstrap"]),
    ("control-plane-join", &["mark-control-plane"]),
    ("wait-control-plane", &["wait-control-plane"]),
];

/// Parts that are no business of a worker.
const CONTROL_PLANE_ONLY: &[&str] = &[
    "preflight/control-plane",
    "certs",
    "kubeconfig/admin",
    "control-plane",
    "check-etcd",
    "etcd-join/add",
    "etcd-join/manifest",
    "etcd-join/promote",
    "mark-control-plane",
    "wait-control-plane",
];

const RESET: &[&str] = &[
    "reset/member",
    "reset/data",
    "reset/kubelet",
    "reset/containers",
    "reset/manifests",
    "reset/kubelet-folder",
    "reset/pki",
    "reset/admin.conf",
    "reset/super-admin.conf",
    "reset/kubelet.conf",
    "reset/bootstrap-kubelet.conf",
];

impl Process {
    fn new(words: &[String], config: &str) -> Self {
        let parse = |text: &str| serde_json::from_str(text).unwrap();
        let documents: Arc<[Value]> =
            config.split("\n---\n").filter(|text| !text.is_empty()).map(parse).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let worker = words[0] == "join" && documents[0]["controlPlane"].is_null();
        let has = |part: &&'static str| !worker || !CONTROL_PLANE_ONLY.contains(part);
        let left: VecDeque<&'static str> = match words.as_slice() {
            ["init"] => INIT.iter().copied().collect(),
            ["reset", "--force"] => RESET.iter().copied().collect(),
            ["join"] => {
                let skip = documents[0].get("skipPhases").and_then(Value::as_array);
                let skip: Vec<&str> =
                    skip.into_iter().flatten().filter_map(Value::as_str).collect();
                let known = |name: &&str| JOIN.iter().any(|(phase, _)| phase == name);
                assert!(skip.iter().all(known), "unknown phases: {skip:?}");
                let phases = JOIN.iter().filter(|(name, _)| !skip.contains(name));
                let parts = phases.flat_map(|(_, parts)| parts.iter().copied());
                parts.filter(has).collect()
            }
            ["join", "phase", wanted] => {
                let (_, parts) = JOIN.iter().find(|(name, _)| name == wanted).unwrap();
                parts.iter().copied().filter(has).collect()
            }
            other => unmodelled("kubeadm command", HERE, other.join(" ")),
        };
        Self { verb: words[0].to_owned(), worker, documents, left, waited: 0 }
    }

    /// The document of that kind.
    pub(super) fn document(&self, kind: &str) -> &Value {
        let of_kind = |document: &&Value| document["kind"] == kind;
        self.documents.iter().find(of_kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    /// `InitConfiguration` or `JoinConfiguration`.
    pub(super) fn own(&self) -> &Value {
        &self.documents[0]
    }

    /// Taints of the registration, or kubeadm's own.
    pub(super) fn taints(&self, worker: bool) -> Vec<(String, String, String)> {
        let text = |taint: &Value, key: &str| taint[key].as_str().unwrap_or_default().to_owned();
        match self.own()["nodeRegistration"]["taints"].as_array() {
            Some(taints) => {
                let fields = |t| (text(t, "key"), text(t, "value"), text(t, "effect"));
                taints.iter().map(fields).collect()
            }
            None if worker => Vec::new(),
            None => vec![(super::MARK.to_owned(), String::new(), "NoSchedule".to_owned())],
        }
    }
}

impl World {
    /// Starts the unit in which kubeadm works.
    pub(super) fn begin_kubeadm(
        &mut self,
        name: &str,
        words: &[String],
        config: &str,
    ) -> Result<(), String> {
        let process = Process::new(words, config);
        let machine = self.machine_mut(name);
        if machine.kubeadm.is_some() {
            return Err("Unit slipway-run-kubeadm.service was already loaded".to_owned());
        }
        if !machine.has("/usr/local/bin/kubeadm") {
            return Err("kubeadm: not found".to_owned());
        }
        if process.verb != "reset" {
            process.own()["nodeRegistration"]["name"]
                .as_str()
                .unwrap()
                .clone_into(&mut machine.node);
            let address = &process.own()["nodeRegistration"]["kubeletExtraArgs"][0]["value"];
            machine.node_ip = address.as_str().unwrap().parse().unwrap();
            machine.worker = process.worker;
        }
        machine.kubeadm = Some(process);
        Ok(())
    }

    /// kubeadm's next phase on that machine; it waits no more than `polls` times.
    pub(super) fn kubeadm(&mut self, name: &str, polls: usize) -> Went {
        let Some(mut process) = self.machine_mut(name).kubeadm.take() else {
            return Went::Ended(Err("it was ended".to_owned()));
        };
        let Some(phase) = process.left.pop_front() else { return Went::Ended(Ok(())) };
        let went = self.phase(name, &process, phase);
        if phase == "kubelet-wait-bootstrap" && !matches!(went, Ok(false)) {
            self.machine_mut(name).remove(BOOTSTRAP);
        }
        match went {
            Ok(true) => {
                process.waited = 0;
                self.machine_mut(name).kubeadm = Some(process);
                Went::On(phase)
            }
            Ok(false) if process.waited < polls => {
                process.waited += 1;
                process.left.push_front(phase);
                self.machine_mut(name).kubeadm = Some(process);
                Went::NotYet
            }
            Ok(false) => Went::Ended(Err(format!("{phase}: timed out waiting for the condition"))),
            Err(why) => Went::Ended(Err(format!("{phase}: {why}"))),
        }
    }

    fn phase(&mut self, name: &str, process: &Process, phase: &'static str) -> Phase {
        let worker = process.worker;
        match phase {
            "preflight/node" => ready_for_a_node(self.machine(name), worker, &process.verb)?,
            "preflight/control-plane" => {
                let ignored = &process.own()["nodeRegistration"]["ignorePreflightErrors"];
                ready_for_a_control_plane(self.machine(name), ignored)?;
            }
            "discovery" => return Ok(self.discovers(name, &process.own()["discovery"])),
            "certs" => {
                let lacking = |file: &&&str| !self.machine(name).has(&key(file));
                if let Some(file) = pki::FILES.iter().find(lacking) {
                    self.faults.push(format!("kubeadm makes its own {file} on {name}"));
                }
                let Some(cluster) = self.configuration(process) else { return Ok(false) };
                self.issue(name, &cluster);
                self.write(name, &key("etcd/healthcheck-client.crt"), "a certificate");
            }
            "kubeconfig/admin" => self.write(name, "/etc/kubernetes/admin.conf", "administrator"),
            "kubeconfig/super-admin" => {
                self.write(name, "/etc/kubernetes/super-admin.conf", "super");
            }
            "no-super-admin" => {
                self.machine_mut(name).remove("/etc/kubernetes/super-admin.conf");
            }
            "kubeconfig/kubelet" => self.write(name, KUBELET_CONF, "embedded"),
            "etcd/new" | "etcd-join/manifest" => {
                let Some(cluster) = self.configuration(process) else { return Ok(false) };
                let joins = process.verb == "join";
                let text = manifest("etcd", self.machine(name), &cluster, joins);
                self.write(name, ETCD_MANIFEST, &text);
            }
            "control-plane" => {
                let Some(cluster) = self.configuration(process) else { return Ok(false) };
                for pod in Pod::ALL.into_iter().filter(|pod| *pod != Pod::Etcd) {
                    let text = manifest(pod.name(), self.machine(name), &cluster, false);
                    self.write(name, &pod.manifest(), &text);
                }
            }
            "kubelet-start/bootstrap" => {
                let discovery = &process.own()["discovery"];
                let token = discovery["tlsBootstrapToken"].as_str();
                let token = token.or(discovery["bootstrapToken"]["token"].as_str()).unwrap();
                self.write(name, BOOTSTRAP, token);
            }
            "kubelet-start/ca" if !self.machine(name).has(&key("ca.crt")) => {
                let Some((_, ca)) = self.cluster_info() else { return Ok(false) };
                self.machine_mut(name).write(&key("ca.crt"), 0o644, ca.as_bytes());
            }
            "kubelet-start/ca" => {}
            "kubelet-start/check" => {
                let Some(store) = self.endpoint() else { return Ok(false) };
                if self.stores[store]
                    .objects
                    .nodes
                    .get(&self.machine(name).node)
                    .is_some_and(|node| node.ready)
                {
                    return Err("a Node with this name and status Ready already exists".to_owned());
                }
            }
            "kubelet-start/stop" => self.machine_mut(name).stop("kubelet.service"),
            "kubelet-start/config" => {
                let kubelet = match process.verb.as_str() {
                    "init" => Some(process.document("KubeletConfiguration").clone()),
                    _ => self.uploaded("kubelet-config"),
                };
                let Some(kubelet) = kubelet else { return Ok(false) };
                let taints = if worker { process.taints(true) } else { Vec::new() };
                self.configure_kubelet(name, &kubelet, &taints);
            }
            "kubelet-start/start" => self.machine_mut(name).start("kubelet.service")?,
            "kubelet-wait-bootstrap" => {
                let machine = self.machine(name);
                let there = [KUBELET_CONF, CREDENTIALS].iter().all(|path| machine.has(path));
                return Ok(there && machine.kubelet_works());
            }
            "wait-control-plane" => return Ok(self.api(self.machine(name)).is_some()),
            phase if phase.starts_with("reset/") => self.reset(name, phase),
            phase => return self.in_the_cluster(name, process, phase),
        }
        Ok(true)
    }

    /// The `ClusterConfiguration` that kubeadm goes by.
    fn configuration(&self, process: &Process) -> Option<Value> {
        match process.verb.as_str() {
            "init" => Some(process.document("ClusterConfiguration").clone()),
            _ => self.uploaded("kubeadm-config"),
        }
    }

    /// Whether the cluster can be found as `discovery` says, and tells its configuration.
    fn discovers(&self, name: &str, discovery: &Value) -> bool {
        let (Some(store), Some((identity, _))) = (self.endpoint(), self.cluster_info()) else {
            return false;
        };
        let objects = &self.stores[store].objects;
        let uploaded = ["kubeadm-config", "kubelet-config"];
        let trusts = match &discovery["bootstrapToken"] {
            Value::Null => self.admin(self.machine(name)).is_some(),
            wanted => {
                assert_eq!(wanted["apiServerEndpoint"], self.served.authority());
                let token = wanted["token"].as_str().unwrap();
                wanted["caCertHashes"][0] == identity && objects.tokens.contains_key(token)
            }
        };
        trusts && uploaded.iter().all(|name| objects.configs.contains_key(*name))
    }

    /// The cluster's identity and its CA's certificate, which everybody may read.
    fn cluster_info(&self) -> Option<(String, String)> {
        let info = self.stores[self.endpoint()?].objects.configs.get("cluster-info")?;
        let (identity, ca) = info.split_once('\n')?;
        Some((identity.to_owned(), ca.to_owned()))
    }
}

pub(super) fn key(file: &str) -> String {
    format!("/etc/kubernetes/pki/{file}")
}
