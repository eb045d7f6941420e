//! What kubeadm writes, in the model: manifests, the kubelet's files, objects; at a join or an `init`,
//! and as the answer to what it would write.

use std::sync::OnceLock;

use base64::Engine as _;
use serde_json::{Value, json};

use super::commands::documents;
use super::effects::name_of;
use super::kubeadm::key;
use super::machine::{KUBELET_CONFIG, Machine};
use super::world::World;
use crate::pki::identity_of;

/// Where the kubelet reads its flags.
pub(super) const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
const INSTANCE: &str = "/var/lib/kubelet/instance-config.yaml";
const RUNTIME: &str = "containerRuntimeEndpoint: \"unix:///run/containerd/containerd.sock\"\n";
const PATCH: &str = "/etc/slipway/patches/kube-apiserver+json.json";
/// Static pods of a control plane.
const PODS: &[&str] = &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// What kubeadm writes for CoreDNS, as far as it matters.
pub(super) const COREFILE: &str = "forward . /etc/resolv.conf {\n}\nloop\n";

/// kubeadm's objects beside ConfigMaps, by kind, namespace and name.
pub(super) const MADE: &[&str] = &[
    "ClusterRoleBinding//kubeadm:cluster-admins",
    "ClusterRoleBinding//kubeadm:node-autoapprove-certificate-rotation",
    "DaemonSet/kube-system/kube-proxy",
    "Deployment/kube-system/coredns",
];

/// kubeadm's ConfigMaps, and the field that matters.
const CONFIGS: &[(&str, &str, &str)] = &[
    ("kube-system", "kubeadm-config", "ClusterConfiguration"),
    ("kube-system", "kubelet-config", "kubelet"),
    ("kube-system", "kube-proxy", "config.conf"),
    ("kube-system", "coredns", "Corefile"),
    ("kube-public", "cluster-info", "kubeconfig"),
];

/// The path of a static pod's manifest.
pub(super) fn manifest_path(name: &str) -> String {
    format!("/etc/kubernetes/manifests/{name}.yaml")
}

/// A static pod's manifest on `machine`, for that ClusterConfiguration.
pub(super) fn manifest(name: &str, machine: &Machine, cluster: &Value, joins: bool) -> String {
    let mut command = vec![
        name.to_owned(),
        format!("--address={}", machine.node_ip),
        format!("--cluster={}", cluster["clusterName"].as_str().unwrap()),
    ];
    let extra = match name {
        "etcd" => "/etcd/local/extraArgs",
        "kube-apiserver" => "/apiServer/extraArgs",
        "kube-controller-manager" => "/controllerManager/extraArgs",
        _ => "/scheduler/extraArgs",
    };
    let extra = cluster.pointer(extra).and_then(Value::as_array).into_iter().flatten();
    command.extend(extra.map(|argument| {
        format!("--{}={}", argument["name"].as_str().unwrap(), argument["value"].as_str().unwrap())
    }));
    match name {
        "etcd" if joins => command.push("--initial-cluster-state=existing".to_owned()),
        "kube-apiserver" if machine.has(PATCH) => {
            let patch: Value = serde_json::from_str(&machine.text(PATCH)).unwrap();
            command.push(patch[0]["value"].as_str().unwrap().to_owned());
        }
        _ => {}
    }
    command[1..].sort();
    let tag = match name {
        "etcd" => cluster["etcd"]["local"]["imageTag"].as_str().unwrap(),
        _ => cluster["kubernetesVersion"].as_str().unwrap(),
    };
    let get = json!({"scheme": "HTTPS", "host": "127.0.0.1", "port": 1, "path": "/healthz"});
    let container = json!({
        "command": command, "image": format!("registry.k8s.io/{name}:{tag}"),
        "startupProbe": {"httpGet": get},
    });
    let pod = json!({
        "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]},
    });
    pod.to_string()
}

/// Of all certificates here: nobody checks it. It signs alike each time.
static KEY: OnceLock<rcgen::KeyPair> = OnceLock::new();

impl World {
    /// The API server's certificate, which names them all.
    pub(super) fn issue(&mut self, name: &str, cluster: &Value) {
        let machine = self.machine_mut(name);
        let text = |pointer: &str| cluster.pointer(pointer).and_then(Value::as_str).unwrap();
        let services: ipnet::Ipv4Net = text("/networking/serviceSubnet").parse().unwrap();
        let mut names: Vec<String> = ["", ".default", ".default.svc"]
            .iter()
            .map(|rest| format!("kubernetes{rest}"))
            .collect();
        names.push(format!("kubernetes.default.svc.{}", text("/networking/dnsDomain")));
        names.push(text("/controlPlaneEndpoint").rsplit_once(':').unwrap().0.to_owned());
        names.extend([machine.node.clone(), machine.node_ip.to_string()]);
        names.push(services.hosts().next().unwrap().to_string());
        let more = cluster["apiServer"]["certSANs"].as_array().unwrap().iter();
        names.extend(more.map(|name| name.as_str().unwrap().to_owned()));
        let key_pair =
            KEY.get_or_init(|| rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(key_pair);
        machine.write(&key("apiserver.crt"), 0o644, certificate.unwrap().pem().as_bytes());
    }
}

/// The kubelet's configuration, with kubeadm's defaults.
fn kubelet(document: &Value) -> String {
    let mut config = document.clone();
    let ca = &mut config["authentication"]["x509"]["clientCAFile"];
    if ca.is_null() {
        *ca = json!("/etc/kubernetes/pki/ca.crt");
    }
    config.to_string()
}

fn flags(machine: &Machine, taints: &[(String, String, String)]) -> String {
    let taint = |(key, value, effect): &(String, String, String)| format!("{key}={value}:{effect}");
    let taints: Vec<String> = taints.iter().map(taint).collect();
    let mut flags = format!("--node-ip={}", machine.node_ip);
    if !taints.is_empty() {
        flags += &format!(" --register-with-taints={}", taints.join(","));
    }
    format!("KUBELET_KUBEADM_ARGS=\"{flags}\"\n")
}

/// The taints that a kubelet with these flags registers its node with.
pub(super) fn registers_with(flags: &str) -> Vec<(String, String, String)> {
    let taints = flags.split("--register-with-taints=").nth(1).unwrap_or_default();
    let taint = |taint: &str| {
        let (pair, effect) = taint.rsplit_once(':')?;
        let (key, value) = pair.split_once('=')?;
        Some((key.to_owned(), value.to_owned(), effect.to_owned()))
    };
    taints.trim().trim_end_matches('"').split(',').filter_map(taint).collect()
}

impl World {
    /// kubeadm's phase `kubelet-start` writes these files.
    pub(super) fn configure_kubelet(
        &mut self,
        name: &str,
        document: &Value,
        taints: &[(String, String, String)],
    ) {
        self.write(name, KUBELET_CONFIG, &kubelet(document));
        self.write(name, INSTANCE, RUNTIME);
        let flags = flags(self.machine(name), taints);
        self.write(name, FLAGS, &flags);
    }

    /// What a joining node reads in the cluster.
    pub(super) fn uploaded(&self, config: &str) -> Option<Value> {
        let text = self.stores[self.endpoint()?].objects.configs.get(config)?;
        serde_json::from_str(text).ok()
    }

    /// The answer to what kubeadm would write for `configuration`.
    pub(super) fn written(
        &self,
        machine: &Machine,
        configuration: &str,
        what: &str,
    ) -> (i32, String) {
        if !machine.has("/usr/local/bin/kubeadm") {
            return (3, "kubeadm: not found\n".to_owned());
        }
        let documents = documents(configuration);
        let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
        let skips = |phase: &str| {
            of("InitConfiguration")["skipPhases"].as_array().unwrap().iter().any(|p| p == phase)
        };
        assert_eq!(of("InitConfiguration")["dryRun"], true);
        assert!(of("InitConfiguration").get("bootstrapTokens").is_none(), "a look has no secrets");
        let mut parts: Vec<(String, String)> = Vec::new();
        let mut live: Vec<String> = Vec::new();
        for name in PODS {
            live.push(manifest_path(name));
            if !skips(if *name == "etcd" { "etcd" } else { "control-plane" }) {
                let text = manifest(name, machine, of("ClusterConfiguration"), false);
                parts.push((format!("{name}.yaml"), text));
            }
        }
        parts.push(("config.yaml".to_owned(), kubelet(of("KubeletConfiguration"))));
        parts.push(("instance-config.yaml".to_owned(), RUNTIME.to_owned()));
        parts.push(("kubeadm-flags.env".to_owned(), flags(machine, &[])));
        live.extend([KUBELET_CONFIG, INSTANCE, FLAGS].map(str::to_owned));
        let there = live.into_iter().filter(|path| machine.has(path));
        parts.extend(there.map(|path| (path.clone(), machine.text(&path))));
        if what == "objects" {
            assert!(!skips("addon") && !skips("upload-config") && !skips("bootstrap-token"));
            parts.push(("objects".to_owned(), said(&documents)));
            parts.push(("live".to_owned(), self.live(machine)));
        }
        let parts: Vec<String> =
            parts.iter().map(|(name, text)| format!("==> {name} <==\n{text}\n")).collect();
        (0, parts.join("\n"))
    }

    /// What the cluster has of kubeadm's objects.
    fn live(&self, machine: &Machine) -> String {
        let Some(store) = self.admin(machine) else { return "failed".to_owned() };
        let objects = &self.stores[store].objects;
        let config = |(namespace, name, field): &(&str, &str, &str)| {
            let text = objects.configs.get(*name)?;
            let text = match (*name, text.split_once('\n')) {
                ("cluster-info", Some((_, ca))) => {
                    let ca = base64::engine::general_purpose::STANDARD.encode(ca);
                    let server = format!("https://{}", self.meant.endpoint.authority());
                    let cluster = json!({"certificate-authority-data": ca, "server": server});
                    json!({
                        "apiVersion": "v1", "kind": "Config",
                        "clusters": [{"name": "", "cluster": cluster}],
                    })
                    .to_string()
                }
                _ => text.clone(),
            };
            let metadata = json!({"name": name, "namespace": namespace});
            Some(json!({"kind": "ConfigMap", "metadata": metadata, "data": {*field: text}}))
        };
        let configs = CONFIGS.iter().filter_map(config);
        let made = objects.made.iter().map(|name| object(name));
        configs.chain(made).map(|object| format!("{object}\n")).collect()
    }

    /// Whether `object` is one of kubeadm's; it is kept then.
    pub(super) fn keep_kubeadms(&mut self, store: usize, object: &Value) -> bool {
        let name = name_of(object);
        let objects = &mut self.stores[store].objects;
        if MADE.contains(&name.as_str()) {
            objects.made.insert(name);
            return true;
        }
        let of_kubeadm = |(namespace, config, _): &&(&str, &str, &str)| {
            name == format!("ConfigMap/{namespace}/{config}")
        };
        let Some((_, config, field)) = CONFIGS.iter().find(of_kubeadm) else { return false };
        let mut text = object["data"][*field].as_str().unwrap().to_owned();
        if *config == "cluster-info" {
            let known: Value = serde_json::from_str(&text).unwrap();
            let ca =
                known["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
            let ca = base64::engine::general_purpose::STANDARD.decode(ca).unwrap();
            let ca = String::from_utf8(ca).unwrap();
            text = format!("{}\n{ca}", identity_of(ca.as_bytes()).unwrap());
        }
        objects.configs.insert((*config).to_owned(), text);
        true
    }
}

/// An object of [`MADE`], as far as it matters here.
fn object(name: &str) -> Value {
    let parts: Vec<&str> = name.splitn(3, '/').collect();
    let mut object = json!({"kind": parts[0], "metadata": {"name": parts[2]}});
    if !parts[1].is_empty() {
        object["metadata"]["namespace"] = json!(parts[1]);
    }
    object
}

/// What kubeadm says that it would make.
fn said(documents: &[Value]) -> String {
    let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
    let config = |(namespace, name, field): &(&str, &str, &str)| {
        let text = match *name {
            "kubeadm-config" => of("ClusterConfiguration").to_string(),
            "kubelet-config" => of("KubeletConfiguration").to_string(),
            "kube-proxy" => of("KubeProxyConfiguration").to_string(),
            "coredns" => COREFILE.to_owned(),
            _ => String::new(),
        };
        let metadata = json!({"name": name, "namespace": namespace});
        json!({"kind": "ConfigMap", "metadata": metadata, "data": {*field: text}})
    };
    let made =
        MADE.iter().filter(|name| !name.ends_with("cluster-admins")).map(|name| object(name));
    let objects = CONFIGS.iter().map(config).chain(made);
    objects.map(|object| format!("---\n{object}\n\n")).collect()
}
