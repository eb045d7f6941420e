//! What the probes' shell texts print, given the world.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::commands::documents;
use super::effects::name_of;
use super::kubeadm::key;
use super::machine::{CREDENTIALS, KUBELET_CONF, Machine, SERVING, is_swap};
use super::pod::Pod;
use super::probes::{ProbeKind, RecognisedProbe};
use super::unmodelled;
use super::world::{NodeObject, World};
use crate::approver::client::AUTO_APPROVAL;

/// Exit code and standard output.
pub(super) type Answer = (i32, String);

pub(super) fn yes(if_so: bool) -> Answer {
    (i32::from(!if_so), String::new())
}

fn lines(lines: impl IntoIterator<Item = String>) -> Answer {
    (0, lines.into_iter().map(|line| line + "\n").collect())
}

impl World {
    /// The answer of the machine `name`.
    pub(super) fn answer(&self, name: &str, probe: &RecognisedProbe) -> Answer {
        let machine = self.machine(name);
        let words = &probe.words;
        match probe.kind {
            ProbeKind::Address => {
                let holds = self.holder().is_some_and(|holder| holder.name == machine.name);
                lines(holds.then(|| format!("2: eth0 inet {}/32", words[0])))
            }
            ProbeKind::File => file(machine, words),
            ProbeKind::Exist => lines(words.iter().filter(|path| machine.exists(path)).cloned()),
            ProbeKind::Packages => {
                let there = words.iter().filter(|name| machine.packages.contains(*name));
                lines(there.map(|name| format!("{name} 1 installed")))
            }
            ProbeKind::Unit => unit(machine, &words[0]),
            ProbeKind::Sysctls => {
                let value = |key: &String| Some(format!("{key}={}", machine.sysctls.get(key)?));
                lines(words.iter().filter_map(value))
            }
            ProbeKind::Swap => {
                let on = machine.swap.then(|| "/dev/vda2 partition 1 0 -2".to_owned());
                let fstab = machine.text("/etc/fstab");
                let later = fstab.lines().filter(|line| is_swap(line)).map(str::to_owned);
                lines(on.into_iter().chain(later))
            }
            ProbeKind::Hostname => {
                let file = machine.text("/etc/hostname");
                lines([machine.hostname.clone(), file.trim_end().to_owned()])
            }
            ProbeKind::MissingModules => {
                let missing = |name: &&str| !machine.modules.contains(*name);
                lines(["overlay", "br_netfilter"].into_iter().filter(missing).map(str::to_owned))
            }
            ProbeKind::Clock => clock(machine),
            ProbeKind::Images => {
                let runs = machine.active("containerd.service");
                let pinned = "io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned";
                let images = machine.images.iter().filter(|_| runs);
                lines(images.map(|(reference, digest)| format!("{reference} {digest} {pinned}")))
            }
            ProbeKind::ServingCertificate => {
                yes(machine.has(SERVING) && machine.has(&key("ca.crt")))
            }
            ProbeKind::Certificate => match machine.files.get(&words[0]) {
                Some(file) => (0, String::from_utf8(file.bytes.to_vec()).unwrap()),
                None => yes(false),
            },
            // Nobody's pods have budgets here.
            ProbeKind::DeprecatedApis | ProbeKind::Evictions => yes(true),
            ProbeKind::EtcdMembers => self.members(machine),
            ProbeKind::Object => self.object(machine, &words[0]),
            ProbeKind::Alive => self.alive(machine, &words[0]),
            ProbeKind::ApiServer => {
                let own = |other: &&Machine| other.node_ip.to_string() == words[0];
                let there = self.machines.values().find(own).and_then(|other| self.api(other));
                let store = there.filter(|_| machine.has("/etc/kubernetes/admin.conf"));
                yes(store.is_some_and(|store| self.stores[store].objects.admin))
            }
            ProbeKind::Registration => self.registration(machine),
            ProbeKind::Reach => yes(self.holder().is_some()),
            ProbeKind::ServerCertificate => {
                let store = self.admin(machine);
                yes(store.is_some_and(|s| self.stores[s].objects.secrets.contains(&words[0])))
            }
            ProbeKind::Component => {
                let pod = match words[0].as_str() {
                    "10257" => Pod::ControllerManager,
                    _ => Pod::Scheduler,
                };
                let well = machine.pods.contains(&pod);
                (0, if well { "HTTP/1.0 200 OK\r\n\r\nok" } else { "" }.to_owned())
            }
            ProbeKind::Dns => self.dns(machine),
            ProbeKind::Health => self.health(machine),
            ProbeKind::Written => self.written(machine, &probe.input, &words[0]),
            ProbeKind::Manifest => self.differences(machine, &probe.input),
            ProbeKind::Tokens => {
                let Some(store) = self.admin(machine) else { return yes(false) };
                lines(self.stores[store].objects.tokens.iter().map(|(token, about)| {
                    let (id, _) = token.split_once('.').unwrap();
                    format!("bootstrap-token-{id} {}", BASE64.encode(about))
                }))
            }
            ProbeKind::ClusterRoleBinding => {
                assert_eq!(words[0], AUTO_APPROVAL);
                let Some(store) = self.admin(machine) else { return yes(false) };
                lines(self.stores[store].objects.auto_approval.then(|| words[0].clone()))
            }
            ProbeKind::VrrpFilter => {
                let enabled = machine.unit("slipway-vrrp.service").enabled;
                let loaded = machine.vrrp.clone().unwrap_or_default();
                lines([
                    if enabled { "enabled" } else { "" }.to_owned(),
                    loaded,
                    "a".into(),
                    "a".into(),
                ])
            }
            ProbeKind::BootId => (0, format!("{name}-{}\n", machine.boots)),
            ProbeKind::Running => lines(running(machine)),
            ProbeKind::Survey => (0, self.survey(machine, words)),
            ProbeKind::Keys => keys(machine, words),
        }
    }

    pub(super) fn members(&self, machine: &Machine) -> Answer {
        let certificate = machine.has(&key("etcd/healthcheck-client.crt"));
        let Some(store) = self.etcd(machine).filter(|_| certificate) else { return yes(false) };
        let member = |member: &super::world::Member| {
            let mut line = json!({
                "ID": format!("{:x}", member.id),
                "name": member.name,
                "peerURLs": [format!("https://{}:2380", member.address)],
            });
            if member.learner {
                line["isLearner"] = Value::from(true);
            }
            line
        };
        let members: Vec<Value> = self.stores[store].members.iter().map(member).collect();
        let own = machine.data.as_ref().map(|data| format!("{:x}", data.member));
        (0, json!({ "header": {"member_id": own}, "members": members }).to_string())
    }

    /// What the machine's own credentials show: whether its etcd member votes, and its Node.
    fn alive(&self, machine: &Machine, node: &str) -> Answer {
        let votes = self.member(machine).is_some_and(|(_, member)| !member.learner)
            && machine.pods.contains(&Pod::Etcd)
            && machine.has(&key("etcd/healthcheck-client.crt"));
        let store = self.of_kubelet(machine).filter(|_| {
            machine.has(KUBELET_CONF)
                && (machine.text(CREDENTIALS) == "valid"
                    || machine.text(KUBELET_CONF) == "embedded")
        });
        let object = store.and_then(|store| self.stores[store].objects.nodes.get(node));
        let ready = |object: &NodeObject| if object.ready { "True" } else { "False" };
        let node = object.map(|object| format!("node=uid-{} {}", object.uid, ready(object)));
        lines(votes.then(|| "votes".to_owned()).into_iter().chain(node))
    }

    fn object(&self, machine: &Machine, path: &str) -> Answer {
        let Some(store) = self.admin(machine) else { return yes(false) };
        let objects = &self.stores[store].objects;
        let configs = "/api/v1/namespaces/kube-system/configmaps/";
        if let Some(config) = path.strip_prefix(configs) {
            let found = objects.configs.get(config);
            let map = |text: &String| (0, json!({"data": {"Corefile": text}}).to_string());
            return found.map_or(yes(false), map);
        }
        let name = path.strip_prefix("/api/v1/nodes/");
        let name = name.unwrap_or_else(|| {
            unmodelled("object", "add what the API answers in src/simulation/answers.rs", path)
        });
        match objects.nodes.get(name) {
            Some(node) => (0, node_object(name, node).to_string()),
            None => yes(false),
        }
    }

    /// What `kubectl diff --server-side` says.
    fn differences(&self, machine: &Machine, manifest: &str) -> Answer {
        let Some(store) = self.admin(machine) else { return (2, String::new()) };
        let objects = &self.stores[store].objects;
        let differs = |wanted: &Value| match wanted["kind"].as_str() {
            Some("Node") => {
                let node = objects.nodes.get(wanted["metadata"]["name"].as_str().unwrap());
                node.and_then(|node| node.own.as_ref()) != Some(wanted)
            }
            _ => objects.applied.get(&name_of(wanted)) != Some(wanted),
        };
        let all = documents(manifest);
        let differing = all.iter().filter(|wanted| differs(wanted));
        let text: String = differing.map(|wanted| format!("diff {}\n", name_of(wanted))).collect();
        (i32::from(!text.is_empty()), text)
    }
}

pub(super) fn running(machine: &Machine) -> Option<String> {
    machine.kubeadm.is_some().then(|| "slipway-run-kubeadm.service".to_owned())
}

fn file(machine: &Machine, words: &[String]) -> Answer {
    let Some(file) = machine.files.get(&words[0]) else {
        return (if machine.exists(&words[0]) { 2 } else { 1 }, String::new());
    };
    if *file.digest == *words[3] {
        return (3, format!("{:o} root:root\n", file.mode));
    }
    let limit: usize = words[1].parse().unwrap();
    let shown = file.bytes.get(..limit.min(file.bytes.len())).unwrap();
    let brought = match limit {
        0 => format!("{} *stdin\n", file.digest),
        _ => String::from_utf8_lossy(shown).into_owned(),
    };
    (0, format!("{:o} root:root\n{brought}", file.mode))
}

fn unit(machine: &Machine, name: &str) -> Answer {
    let state = machine.unit(name);
    let enabled = match (machine.has_unit(name), state.enabled) {
        (false, _) => "",
        (true, true) => "enabled",
        (true, false) => "disabled",
    };
    let active = if state.active { "active" } else { "inactive" };
    let stamp = machine.stamps.get(name).cloned().unwrap_or_default();
    (0, format!("ActiveState={active}\nUnitFileState={enabled}\nStamp={stamp}\n"))
}

fn clock(machine: &Machine) -> Answer {
    if !machine.active("chrony.service") {
        return yes(false);
    }
    let leap = if machine.on_time { "Normal" } else { "Not synchronised" };
    (0, format!("7F7F0101,,0,0,0,0,0,0,0,0,0,0,0,{leap}\n^,?,10.0.0.250,0,6,1,-,0,0,0\n"))
}

fn keys(machine: &Machine, names: &[String]) -> Answer {
    let file = |name: &String| {
        let text = machine.text(&key(name));
        format!("{name} {}\n{text}", text.len())
    };
    (0, names.iter().map(file).collect())
}

pub(super) fn node_object(name: &str, node: &NodeObject) -> Value {
    let taint = |(key, value, effect): &(String, String, String)| json!({"key": key, "value": value, "effect": effect});
    let labels: serde_json::Map<String, Value> =
        node.labels.iter().map(|label| (label.clone(), Value::from(""))).collect();
    let ready = if node.ready { "True" } else { "False" };
    let marks = if node.by_us { json!({"slipway.dev/cordoned": "drain"}) } else { Value::Null };
    json!({
        "metadata": {
            "name": name, "uid": format!("uid-{}", node.uid), "labels": labels, "annotations": marks,
        },
        "spec": {
            "taints": node.taints.iter().map(taint).collect::<Vec<_>>(),
            "unschedulable": node.cordoned,
        },
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    })
}
