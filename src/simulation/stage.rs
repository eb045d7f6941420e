//! What runs take as given: a bundle of tiny files, inventories as a person writes them, keys.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::cluster::Cluster;
use crate::inventory;
use crate::pki::Pki;
use crate::resource::sha256;
use crate::steps::Program;

const PROGRAMS: &[&str] = &[
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "bandwidth",
    "host-local",
    "loopback",
    "portmap",
    "tuning",
    "kubelet",
    "kubeadm",
    "kubectl",
    "etcdctl",
    "etcdutl",
];

const IMAGES: &[&str] = &[
    "pause",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "coredns",
    "calico-node",
    "calico-cni",
    "calico-kube-controllers",
    "metrics-server",
];

/// Packages, and whether only a virtual IP needs them.
const PACKAGES: &[(&str, bool)] = &[
    ("runc", false),
    ("conntrack", false),
    ("chrony", false),
    ("haproxy", true),
    ("keepalived", true),
];

const ADDONS: &[(&str, &str)] = &[
    (
        "calico",
        "kind: DaemonSet\nmetadata: {name: calico-node, namespace: kube-system}\n---\n\
         kind: Deployment\nmetadata: {name: calico-kube-controllers, namespace: kube-system}\n",
    ),
    (
        "metrics-server",
        "kind: APIService\nmetadata: {name: v1beta1.metrics.k8s.io}\n\
         spec: {caBundle: \"${METRICS_SERVER_CA}\"}\n---\n\
         kind: Deployment\nmetadata: {name: metrics-server, namespace: kube-system}\n",
    ),
];

/// What every run works with.
pub(super) struct Stage {
    pub(super) bundle: Arc<Bundle>,
    pub(super) program: Program,
    pub(super) pki: Pki,
    _folder: tempfile::TempDir,
}

/// How manifests call the image of that short name.
pub(super) fn reference(name: &str) -> String {
    format!("registry.example/{name}:1")
}

/// The one stage of all tests.
pub(super) fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle(folder.path());
        let program = folder.path().join("slipway");
        std::fs::write(&program, "this program").unwrap();
        Stage {
            bundle: Arc::new(bundle),
            program: Program::read(&program).unwrap(),
            pki: Pki::generate().unwrap(),
            _folder: folder,
        }
    })
}

fn bundle(dir: &Path) -> Bundle {
    let put = |path: &str, text: &str| -> Value {
        let place = dir.join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
        json!({"path": path, "size": text.len(), "sha256": sha256(text.as_bytes())})
    };
    let with = |mut entry: Value, fields: Value| {
        let fields = fields.as_object().unwrap().clone();
        entry.as_object_mut().unwrap().extend(fields);
        entry
    };
    let program = |name: &&str| {
        let entry = put(&format!("linux-amd64/bin/{name}"), name);
        with(entry, json!({"name": name, "version": "1"}))
    };
    let addon = |(name, text): &(&str, &str)| {
        with(put(&format!("manifests/{name}.yaml"), text), json!({"name": name, "version": "1"}))
    };
    let image = |name: &&str| {
        let sha256 = sha256(name.as_bytes());
        let blob = put(&format!("blobs/sha256/{sha256}"), name);
        let (digest, size) = (format!("sha256:{sha256}"), &blob["size"]);
        let blobs = [json!({"digest": digest, "size": size})];
        let reference = reference(name);
        json!({"name": name, "reference": reference, "digest": digest, "size": size, "blobs": blobs})
    };
    let package = |release: &'static str| {
        move |(name, endpoint): &(&str, bool)| {
            json!({
                "release": release, "name": name, "version": "1", "architecture": "amd64",
                "endpoint": endpoint,
            })
        }
    };
    let packages: Vec<Value> = ["debian-12", "debian-13"]
        .into_iter()
        .flat_map(|release| PACKAGES.iter().map(package(release)))
        .map(|fields| {
            let path = format!("packages/{}/{}.deb", fields["release"], fields["name"]);
            with(put(&path.replace('"', ""), "a package"), fields)
        })
        .collect();
    let list = |values: Vec<Value>| Value::from(values);
    let manifest = json!({
        "schema": crate::bundle::SCHEMA, "kubernetes": "1.37.2", "os": "linux", "arch": "amd64",
        "recipe": "", "components": {}, "base": [],
        "files": list(PROGRAMS.iter().map(program).collect()),
        "images": list(IMAGES.iter().map(image).collect()),
        "addons": list(ADDONS.iter().map(addon).collect()),
        "packages": list(packages),
    });
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    Bundle::open(dir).unwrap()
}

/// What an inventory says, as far as steps differ by it.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) control_planes: usize,
    pub(super) workers: usize,
    pub(super) virtual_ip: bool,
    pub(super) calico: bool,
    pub(super) metrics: bool,
    pub(super) time_server: bool,
    pub(super) kubelet: bool,
    /// Bit by bit: which nodes have labels of their own.
    pub(super) labels: u16,
    /// Bit by bit: which nodes have taints of their own, and which of these an empty list.
    pub(super) taints: (u16, u16),
}

impl Shape {
    /// Three control planes, two workers, everything on.
    pub(super) fn whole() -> Self {
        Self {
            control_planes: 3,
            workers: 2,
            virtual_ip: true,
            calico: true,
            metrics: true,
            time_server: true,
            kubelet: true,
            labels: 0b01001,
            taints: (0b10010, 0b00010),
        }
    }

    /// The inventory.
    pub(super) fn yaml(&self) -> String {
        let mut text =
            "apiVersion: slipway.dev/v1\nkind: Cluster\nmetadata: {name: proof}\nspec:\n"
                .to_owned();
        if self.virtual_ip {
            text += "  endpoint: {vip: 10.77.0.100}\n";
        } else if self.control_planes > 1 {
            text += "  endpoint: {address: \"api.example.com:7443\"}\n";
        }
        if self.time_server {
            text += "  time: {servers: [10.77.0.250]}\n";
        }
        if self.kubelet {
            text += "  kubelet: {maxPods: 150}\n";
        }
        writeln!(text, "  addons: {{calico: {}, metricsServer: {}}}", self.calico, self.metrics)
            .unwrap();
        text += "  nodes:\n";
        for at in 0..self.control_planes + self.workers {
            let worker = at.checked_sub(self.control_planes);
            let (name, role) = match worker {
                None => (format!("cp-{}", at + 1), "control-plane"),
                Some(number) => (format!("w-{}", number + 1), "worker"),
            };
            let has = |bits: u16| bits >> at & 1 == 1;
            write!(text, "    - {{name: {name}, role: {role}, address: 10.77.0.{}", at + 11)
                .unwrap();
            if has(self.labels) {
                text += ", labels: {example.com/disk: ssd}";
            }
            text += match (has(self.taints.0), has(self.taints.1)) {
                (false, _) => "",
                (true, true) => ", taints: []",
                (true, false) => ", taints: [{key: example.com/own, value: x, effect: NoSchedule}]",
            };
            text += "}\n";
        }
        text
    }

    /// What it means.
    pub(super) fn cluster(&self) -> Arc<Cluster> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), self.yaml()).unwrap();
        let inventory = inventory::load_new(file.path());
        Arc::new(inventory.unwrap_or_else(|e| panic!("{e}\n{}", self.yaml())).cluster)
    }
}
