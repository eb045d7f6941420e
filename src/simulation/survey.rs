//! What the survey's scripts print: the machine, its network, its part in a cluster.

use std::fmt::Display;
use std::net::Ipv4Addr;

use base64::Engine as _;
use serde_json::{Value, json};

use super::answers::{node_object, running};
use super::kubeadm::key;
use super::machine::Machine;
use super::machine::{API_MANIFEST, CREDENTIALS, ETCD_DATA, ETCD_MANIFEST, KUBELET_CONF};
use super::pod::Pod;
use super::unmodelled;
use super::world::{NodeObject, World};
use crate::cluster::{ALIVE_PORT, API_PORT, Endpoint};
use crate::template;

/// Facts as the scripts print them.
#[derive(Default)]
struct Facts(String);

impl Facts {
    fn print(&mut self, key: &str, value: impl Display) {
        self.0 += &format!("{key}={value}\n");
    }

    fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.print(key, base64::engine::general_purpose::STANDARD.encode(bytes));
    }

    /// The clock is this machine's own.
    fn clock(&mut self) {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        self.print("clock", since.as_nanos());
    }
}

impl World {
    /// As the scripts of [`crate::probe::Probe::survey`] print it; `questions` are their words.
    pub(super) fn survey(&self, machine: &Machine, questions: &[String]) -> String {
        let mut facts = Facts::default();
        facts.clock();
        machine_itself(machine, &mut facts);
        if !machine.has(KUBELET_CONF) {
            for question in questions {
                self.network(machine, question, &mut facts);
            }
        }
        files(machine, &mut facts);
        self.control_plane(machine, &mut facts);
        facts.clock();
        facts.0
    }

    /// What `network.sh` answers to one of its words. Nothing between the machines is filtered.
    fn network(&self, machine: &Machine, question: &str, facts: &mut Facts) {
        let (what, rest) = question.split_once('=').unwrap();
        match what {
            "ports" => {
                let asked: Vec<u16> = rest.split(' ').map(|port| port.parse().unwrap()).collect();
                for (address, port, process) in self.listeners(machine) {
                    if asked.contains(&port) {
                        let users = format!("users:((\"{process}\",pid=1,fd=3))");
                        facts.print("listen", format!("{address}:{port} {users}"));
                    }
                }
            }
            "peer" => {}
            "vip" => match self.holder() {
                None => facts.print("vip", "beyond FAILED "),
                Some(holder) if holder.name == machine.name => {}
                Some(holder) => facts.print("vip", format!("open REACHABLE {}", mac(holder))),
            },
            "endpoint" => {
                let open = self.machines.values().any(|m| m.pods.contains(&Pod::ApiServer));
                facts.print("endpoint", if open { "open" } else { "refused" });
                if open {
                    facts.print("endpoint_api", "yes");
                }
            }
            other => unmodelled("question", "add its answer in src/simulation/survey.rs", other),
        }
    }

    /// Who listens on a TCP port of a machine.
    fn listeners(&self, machine: &Machine) -> Vec<(Ipv4Addr, u16, &'static str)> {
        let any = Ipv4Addr::UNSPECIFIED;
        let mut listeners = Vec::new();
        let mut listen = |ports: &[u16], address, process| {
            listeners.extend(ports.iter().map(|port| (address, *port, process)));
        };
        if machine.kubelet_works() {
            listen(&[10248, 10250], any, "kubelet");
        }
        if machine.registered && machine.has_image("kube-proxy") {
            listen(&[10249, 10256], any, "kube-proxy");
        }
        if machine.pods.contains(&Pod::Etcd) {
            listen(&[2379, 2380, 2381], machine.node_ip, "etcd");
        }
        if machine.pods.contains(&Pod::ApiServer) {
            listen(&[API_PORT], machine.node_ip, "kube-apiserver");
        }
        let ours = machine.has(template::HAPROXY.target()) && machine.active("haproxy.service");
        if let Endpoint::Vip { address, .. } = &self.served
            && ours
        {
            listen(&[API_PORT], *address, "haproxy");
            listen(&[ALIVE_PORT], Ipv4Addr::LOCALHOST, "haproxy");
        }
        listeners
    }

    /// What a control plane's own API server and etcd say.
    fn control_plane(&self, machine: &Machine, facts: &mut Facts) {
        let store = self.own_admin(machine).filter(|_| machine.has(API_MANIFEST));
        let objects = store.map(|store| &self.stores[store].objects);
        if let Some(objects) = objects {
            let nodes: Vec<Value> = objects.nodes.iter().map(listed).collect();
            facts.print("nodes", json!({"items": nodes}));
            for (name, key) in
                [("kubeadm-config", "ClusterConfiguration"), ("kubelet-config", "kubelet")]
            {
                if let Some(text) = objects.configs.get(name) {
                    facts.print("config", json!({"metadata": {"name": name}, "data": {key: text}}));
                }
            }
            let taints = objects.applied.get("ConfigMap/kube-system/slipway-taints");
            taints.iter().for_each(|taints| facts.print("config", taints));
        }
        if machine.has("/etc/kubernetes/super-admin.conf") {
            let early = matches!(machine.text(KUBELET_CONF).as_str(), "" | "embedded")
                || machine.data.is_none();
            if objects.map_or(early, |objects| !objects.configs.contains_key("kube-proxy")) {
                facts.print("begun", "init");
            }
        }
        if let (0, members) = self.members(machine) {
            facts.base64("etcd", members.as_bytes());
        }
    }
}

/// A node, as the API lists it.
fn listed((name, node): (&String, &NodeObject)) -> Value {
    let mut object = node_object(name, node);
    let labels = node.own.as_ref().and_then(|own| own["metadata"]["labels"].as_object());
    if labels.is_some_and(|labels| !labels.is_empty()) {
        let fields = json!({"f:metadata": {"f:labels": {"f:a": {}}}});
        object["metadata"]["managedFields"] = json!([{"manager": "slipway", "fieldsV1": fields}]);
    }
    object["status"]["nodeInfo"] = json!({"kubeletVersion": format!("v{}", node.version)});
    object["status"]["addresses"] = json!([{"type": "InternalIP", "address": node.address}]);
    object
}

fn mac(machine: &Machine) -> String {
    format!("52:54:00:00:00:{:02x}", machine.address.octets()[3])
}

/// What `machine.sh` prints, and the first half of `probe.sh`.
fn machine_itself(machine: &Machine, facts: &mut Facts) {
    let Machine { name, hostname, release, boots, address, .. } = machine;
    facts.print("hostname", hostname);
    facts.print("machine_id", format!("id-of-{name}"));
    facts.print("product_uuid", format!("uuid-of-{name}"));
    facts.print("link", format!("eth0 1500 {}", mac(machine)));
    if machine.active("chrony.service") {
        facts.print("chrony", "running");
    }
    if !machine.has(KUBELET_CONF) {
        let fixed = [
            ("kernel", "6.12.0-1-amd64"),
            ("cpus", "2"),
            ("memory", "4194304"),
            ("localhost", "127.0.0.1"),
        ];
        fixed.iter().for_each(|(key, value)| facts.print(key, value));
        for path in ["/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet", "/usr/local/bin"] {
            facts.print("disk", format!("{path} 1 4096 10000000 9000000"));
        }
        for (path, fact) in [("/var/lib/etcd/lost+found", "lost+found"), (ETCD_DATA, "member")] {
            if machine.exists(path) {
                facts.print("etcd_left", fact);
            }
        }
        if machine.has(CREDENTIALS) {
            facts.print("kubelet_left", CREDENTIALS);
        }
    }
    for (key, value) in [
        ("os", *release),
        ("os_name", "Debian"),
        ("arch", "x86_64"),
        ("libc", "glibc 2.36"),
        ("init", "systemd"),
        ("cap_bnd", "000001ffffffffff"),
        ("cgroup", "cgroup2fs"),
        ("address", "lo 127.0.0.1/8"),
    ] {
        facts.print(key, value);
    }
    facts.print("boot_id", format!("{name}-{boots}"));
    facts.print("address", format!("eth0 {address}/24"));
    facts.print("address", format!("eth0 {}/24", machine.second));
}

/// What is there of a member.
fn files(machine: &Machine, facts: &mut Facts) {
    let files = [
        "pki/ca.crt",
        "bootstrap-kubelet.conf",
        "kubelet.conf",
        "admin.conf",
        "super-admin.conf",
        "manifests/kube-apiserver.yaml",
        "manifests/etcd.yaml",
    ];
    for file in files.iter().filter(|file| machine.has(&format!("/etc/kubernetes/{file}"))) {
        facts.print("file", file);
    }
    if machine.exists(ETCD_DATA) {
        facts.print("file", "etcd-data");
    }
    if machine.has(ETCD_MANIFEST) {
        facts.print("etcd_name", &machine.node);
        facts.print("etcd_peer", format!("https://{}:2380", machine.node_ip));
    }
    if machine.has(CREDENTIALS) {
        let subject = format!("subject=CN=system:node:{},O=system:nodes", machine.node);
        facts.print("credentials", format!("{} {subject}", machine.text(CREDENTIALS)));
    }
    facts.print("name_server", if machine.name_server { "10.77.0.250" } else { "" });
    running(machine).iter().for_each(|unit| facts.print("running", unit));
    for line in machine.text(template::VRRP_RULES.target()).lines() {
        let word = |before: &str| {
            let mut words = line.split_whitespace().skip_while(|word| *word != before).skip(1);
            words.next().filter(|_| line.ends_with(" accept"))
        };
        if let (Some("saddr"), Some(address), Some(_)) = (word("ip"), word("saddr"), word("ether"))
        {
            let mac = line.split_whitespace().rev().nth(1).unwrap();
            facts.print("vrrp", format!("{address} {mac}"));
        }
    }
    if machine.has("/etc/cni/net.d/10-calico.conflist") {
        facts.print("cni", "10-calico.conflist");
    }
    if let Some(ca) = ca(machine) {
        facts.base64("ca", &ca);
    }
}

/// The CA certificate of the machine's cluster: a file, or inside a kubeconfig.
pub(super) fn ca(machine: &Machine) -> Option<Vec<u8>> {
    let file = machine.files.get(&key("ca.crt")).map(|file| file.bytes.to_vec());
    let kubeconfigs = ["admin.conf", "bootstrap-kubelet.conf", "kubelet.conf", "super-admin.conf"];
    let inside = kubeconfigs.iter().any(|f| machine.has(&format!("/etc/kubernetes/{f}")));
    file.or(inside.then(|| super::stage::stage().pki.ca_pem().to_vec()))
}
