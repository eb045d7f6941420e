//! kubeadm's configuration (`kubeadm.k8s.io/v1beta4`), as data. kubeadm reads JSON as well as YAML.

use serde_json::{Value, json};

use super::programs::CA;
use super::{Context, Token, programs};
use crate::approver::client::JOINS_OF;
use crate::cluster::{API_PORT, Cluster, Endpoint, Network, Node, Role};
use crate::diagnostic::Result;
use crate::kubernetes::arguments::Component;
use crate::resource::{ApiServerCertificate, DryRun, File};
use crate::secret::Secret;

const API_VERSION: &str = "kubeadm.k8s.io/v1beta4";
/// Where a node's own patches of static pods lie; also for later upgrades.
const PATCHES: &str = "/etc/slipway/patches";
const RUNTIME: &str = "unix:///run/containerd/containerd.sock";

/// What `kubeadm init` reads on the first control plane.
pub(super) fn init(context: &Context, node: &Node) -> Result<Secret<Vec<u8>>> {
    let mut init = json!({
        "apiVersion": API_VERSION,
        "kind": "InitConfiguration",
        "bootstrapTokens": [{
            "token": whole(&context.token), "ttl": "1h0m0s", "description": purpose(context),
        }],
        "localAPIEndpoint": local(node),
        "nodeRegistration": registration(context, node),
        // It would print the token.
        "skipPhases": ["show-join-command"],
    });
    point_to_patches(&mut init, context, node);
    Ok(documents(&[init, cluster(context)?, kubelet(context), kube_proxy(&context.cluster)]))
}

/// What a member asks kubeadm to learn what it would write: `init` as a dry run of those phases that
/// write. Nothing of it is secret: there is no token.
pub(super) fn dry_run(context: &Context, node: &Node) -> Result<DryRun> {
    let control_plane = node.role == Role::ControlPlane;
    let objects = context.is_leader(node);
    let skip = PHASES.iter().filter(|(_, of)| match of {
        Writes::Files => false,
        Writes::Pods => !control_plane,
        Writes::Objects => !objects,
        Writes::Other => true,
    });
    let mut init = json!({
        "apiVersion": API_VERSION,
        "kind": "InitConfiguration",
        "dryRun": true,
        "localAPIEndpoint": local(node),
        "nodeRegistration": registration(context, node),
        "skipPhases": skip.map(|(phase, _)| *phase).collect::<Vec<_>>(),
    });
    let (mut cluster, mut kubelet) = (cluster(context)?, kubelet(context));
    if control_plane {
        point_to_patches(&mut init, context, node);
    } else {
        // `init` looks for the CA's key beside its certificate, which no worker has.
        insert(&mut cluster, "certificatesDir", json!("/run/slipway/no-certificates"));
        insert_below(&mut kubelet, &["authentication", "x509"], "clientCAFile", json!(CA));
    }
    let documents =
        [init, cluster, kubelet, kube_proxy(&context.cluster)].map(|document| document.to_string());
    Ok(DryRun { configuration: documents.join("\n---\n"), objects })
}

/// What `kubeadm init phase certs apiserver` reads: whom the API server's certificate names.
pub(super) fn certificate(context: &Context, node: &Node) -> Result<String> {
    let init = json!({
        "apiVersion": API_VERSION,
        "kind": "InitConfiguration",
        "localAPIEndpoint": local(node),
        "nodeRegistration": {"name": node.name, "criSocket": RUNTIME},
    });
    let mut cluster = cluster(context)?;
    insert(&mut cluster, "certificatesDir", json!(ApiServerCertificate::WORK));
    Ok([init, cluster].map(|document| document.to_string()).join("\n---\n"))
}

/// What a phase of `kubeadm init` writes.
enum Writes {
    /// The kubelet's files.
    Files,
    /// Static pods.
    Pods,
    /// Objects of the cluster.
    Objects,
    /// What belongs to a beginning only; certificates and kubeconfigs, which end.
    Other,
}

/// The phases of `kubeadm init` (`cmd/kubeadm/app/cmd/init.go`).
const PHASES: &[(&str, Writes)] = &[
    ("preflight", Writes::Other),
    ("certs", Writes::Other),
    ("kubeconfig", Writes::Other),
    ("etcd", Writes::Pods),
    ("control-plane", Writes::Pods),
    ("kubelet-start", Writes::Files),
    ("wait-control-plane", Writes::Other),
    ("upload-config", Writes::Objects),
    ("upload-certs", Writes::Other),
    ("mark-control-plane", Writes::Other),
    ("bootstrap-token", Writes::Objects),
    ("kubelet-finalize", Writes::Other),
    ("addon", Writes::Objects),
    ("show-join-command", Writes::Other),
];

/// What the first `kubeadm join` of a further control plane reads: it ends with a voting etcd
/// member.
pub(super) fn etcd_join(context: &Context, node: &Node) -> Secret<Vec<u8>> {
    let after = ["kubelet-wait-bootstrap", "control-plane-join", "wait-control-plane"];
    join(context, node, &after)
}

/// What its second `kubeadm join` reads: the phases that the first one skipped.
pub(super) fn control_plane_join(context: &Context, node: &Node) -> Secret<Vec<u8>> {
    let before = ["preflight", "control-plane-prepare", "check-etcd", "kubelet-start", "etcd-join"];
    join(context, node, &before)
}

/// What `kubeadm join` reads on a worker.
pub(super) fn worker_join(context: &Context, node: &Node) -> Secret<Vec<u8>> {
    join(context, node, &[])
}

/// `skip`: names of phases, as `kubeadm join --help` lists them.
fn join(context: &Context, node: &Node, skip: &[&str]) -> Secret<Vec<u8>> {
    let mut join = json!({
        "apiVersion": API_VERSION,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "token": whole(&context.token),
            "apiServerEndpoint": context.cluster.endpoint.authority(),
            "caCertHashes": [context.pki.identity()],
        }},
        "nodeRegistration": registration(context, node),
    });
    if !skip.is_empty() {
        insert(&mut join, "skipPhases", json!(skip));
    }
    if node.role == Role::ControlPlane {
        insert(&mut join, "controlPlane", json!({"localAPIEndpoint": local(node)}));
        point_to_patches(&mut join, context, node);
    }
    documents(&[join])
}

/// With a virtual IP, haproxy has port 6443 at that address, so the API server listens on its own
/// address alone. ClusterConfiguration holds for all nodes; what differs per node is a patch.
pub(super) fn patches(cluster: &Cluster, node: &Node) -> Vec<File> {
    let Endpoint::Vip { .. } = cluster.endpoint else { return Vec::new() };
    let patch = json!([{
        "op": "add",
        "path": "/spec/containers/0/command/-",
        "value": format!("--bind-address={}", node.internal),
    }]);
    vec![File::text(format!("{PATCHES}/kube-apiserver+json.json"), format!("{patch}\n"))]
}

/// kubeadm refuses a directory that is not there.
fn point_to_patches(configuration: &mut Value, context: &Context, node: &Node) {
    if !patches(&context.cluster, node).is_empty() {
        insert(configuration, "patches", json!({"directory": PATCHES}));
    }
}

/// Which nodes the run's token is for: the approver goes by it.
fn purpose(context: &Context) -> String {
    format!("{JOINS_OF}{}", context.joining().join(" "))
}

/// The Secret that makes the run's token valid, for an hour at most (type
/// `bootstrap.kubernetes.io/token`).
pub(super) fn token_object(context: &Context) -> Secret<Vec<u8>> {
    let token = &context.token;
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{}", token.id), "namespace": "kube-system"},
        "stringData": {
            "description": purpose(context),
            "token-id": token.id,
            "token-secret": token.secret.expose(),
            "expiration": expires.to_string(),
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    });
    Secret::new(object.to_string().into_bytes())
}

fn whole(token: &Token) -> String {
    format!("{}.{}", token.id, token.secret.expose())
}

fn documents(documents: &[Value]) -> Secret<Vec<u8>> {
    let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
    Secret::new(texts.join("\n---\n").into_bytes())
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// Sets `key` in the object at `path`, which is made where it is not there; what it has stays.
fn insert_below(object: &mut Value, path: &[&str], key: &str, value: Value) {
    let Some(fields) = object.as_object_mut() else { return };
    match path.split_first() {
        Some((first, rest)) => {
            let below = fields.entry(*first).or_insert_with(|| json!({}));
            insert_below(below, rest, key, value);
        }
        None => drop(fields.entry(key).or_insert(value)),
    }
}

fn local(node: &Node) -> Value {
    json!({"advertiseAddress": node.internal, "bindPort": API_PORT})
}

fn registration(context: &Context, node: &Node) -> Value {
    let mut ignored = Vec::new();
    if context.survey.facts(&node.name).is_some_and(|facts| facts.cgroup_v1) {
        // An error since 1.35 on control groups of the first version, which still work.
        ignored.push("SystemVerification");
    }
    if matches!(context.cluster.endpoint, Endpoint::Vip { .. }) && node.role == Role::ControlPlane {
        // Before 1.37, kubeadm looks at the port on every address; haproxy has it at the virtual IP.
        ignored.push("Port-6443");
    }
    if node.role == Role::ControlPlane && context.facts(node).machine.has_etcd_disk() {
        // kubeadm wants the directory empty; what mke2fs makes on a disk is nobody's data.
        ignored.push("DirAvailable--var-lib-etcd");
    }
    let mut registration = json!({
        "name": node.name,
        "criSocket": RUNTIME,
        // All images come from the bundle.
        "imagePullPolicy": "Never",
        "ignorePreflightErrors": ignored,
        "kubeletExtraArgs": [{"name": "node-ip", "value": node.internal}],
    });
    if let Some(taints) = &node.taints {
        let taints: Vec<Value> = taints
            .iter()
            .map(|t| json!({"key": t.key, "value": t.value, "effect": t.effect}))
            .collect();
        insert(&mut registration, "taints", Value::from(taints));
    }
    registration
}

fn cluster(context: &Context) -> Result<Value> {
    let cluster = &context.cluster;
    // The bundle decides, not kubeadm's own table: it has newer patches.
    let tag = |image: &str| -> Result<String> {
        let reference = &context.bundle.image(image)?.reference;
        Ok(reference.rsplit(':').next().unwrap_or_default().to_owned())
    };
    let mut api_server = programs::settings(cluster, Component::ApiServer);
    insert(&mut api_server, "certSANs", json!(cluster.cert_names()));
    let mut etcd = programs::settings(cluster, Component::Etcd);
    insert(&mut etcd, "imageTag", json!(tag("etcd")?));
    Ok(json!({
        "apiVersion": API_VERSION,
        "kind": "ClusterConfiguration",
        "clusterName": cluster.name,
        "kubernetesVersion": format!("v{}", cluster.kubernetes),
        "controlPlaneEndpoint": cluster.endpoint.authority(),
        "encryptionAlgorithm": "ECDSA-P256",
        "etcd": {"local": etcd},
        "dns": {"imageTag": tag("coredns")?},
        "networking": {
            "podSubnet": Network::list(&cluster.network.pods),
            "serviceSubnet": Network::list(&cluster.network.services),
            "dnsDomain": cluster.network.domain,
        },
        "apiServer": api_server,
        "controllerManager": programs::settings(cluster, Component::ControllerManager),
        "scheduler": programs::settings(cluster, Component::Scheduler),
    }))
}

fn kubelet(context: &Context) -> Value {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "serverTLSBootstrap": true,
        "rotateCertificates": true,
    });
    if context.survey.nodes.values().any(|node| node.facts.cgroup_v1) {
        insert(&mut config, "failCgroupV1", Value::from(false));
    }
    for (key, value) in &context.cluster.kubelet {
        insert(&mut config, key, value.clone());
    }
    config
}

fn kube_proxy(cluster: &Cluster) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": cluster.proxy_mode,
        // The kernel's own limit stays: not every node lets kube-proxy set it.
        "conntrack": {"maxPerCore": 0, "min": 0},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_form_that_kubernetes_wants() {
        let token = Token::random();
        let whole = whole(&token);
        let (id, secret) = whole.split_once('.').unwrap();
        let letters = |s: &str| s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        assert!(id.len() == 6 && secret.len() == 16 && letters(id) && letters(secret));
    }
}
