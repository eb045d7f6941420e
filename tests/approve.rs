//! `slipway approve-certificates` as systemd runs it, on requests to a real API server. Needs a bundle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]
#![allow(dead_code, clippy::disallowed_methods, reason = "shares support with the agent's tests")]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use slipway::bundle::{Bundle, LATEST};
use slipway::process::{Finished, Process};

/// Real components on loopback.
#[path = "../agent/tests/support"]
mod support {
    pub mod bundle;
    pub mod keys;
    pub mod plane;
    mod wait;

    pub use wait::eventually;
}

use support::eventually;
use support::plane::Plane;

/// How long anything may take, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Controllers that sign requests, and approve them where Kubernetes does that.
const CONTROLLERS: &str = "serviceaccount-controller,\
    certificatesigningrequest-signing-controller,certificatesigningrequest-approving-controller";

/// The group of kubeadm's bootstrap tokens, which may file requests.
const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

fn approver(kubectl: &Path, nodes: &Path) -> Process {
    Process::at(Path::new(env!("CARGO_BIN_EXE_slipway")))
        .args(["approve-certificates", "--kubectl"])
        .arg(kubectl)
        .arg("--nodes")
        .arg(nodes)
}

#[tokio::test]
async fn sigterm_ends_it_at_once_and_a_missing_table_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = dir.path().join("nodes.json");
    let slipway = || approver(Path::new("/nonexistent/kubectl"), &nodes);
    let done = slipway().output().await.unwrap();
    assert_eq!(done.code, 71);
    assert!(String::from_utf8_lossy(&done.stderr).contains("nodes.json"));

    fs::write(&nodes, "{}").unwrap();
    let mut child = slipway().into_inner().spawn().unwrap();
    // Its first line says that signals are waited for.
    let mut stderr = child.stderr.take().unwrap();
    let mut line = [0; 16];
    tokio::io::AsyncReadExt::read_exact(&mut stderr, &mut line).await.unwrap();
    let pid = child.id().unwrap().to_string();
    Process::new("kill").arg(pid).run().await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

/// A cluster's API, as somebody sees it who knows a token.
struct Cluster {
    plane: Plane,
    kubectl: PathBuf,
    /// Where what is written is read from.
    dir: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let bundle = Bundle::open(&Bundle::locate(LATEST, "amd64")).unwrap();
        let kubectl = bundle.file("kubectl").unwrap().path().to_owned();
        let plane = Plane::start("approve", Some(CONTROLLERS)).await;
        let cluster = Self { plane, kubectl, dir: tempfile::tempdir().unwrap() };
        let role = "--clusterrole=system:node-bootstrapper";
        let group = format!("--group={GROUP}");
        cluster.admin(&["create", "clusterrolebinding", "kubelet-bootstrap", role, &group]).await;
        cluster
    }

    /// kubectl with every right, which must work.
    async fn admin(&self, args: &[&str]) -> String {
        let kubectl = Process::at(&self.kubectl).arg("--kubeconfig").arg(self.plane.kubeconfig());
        kubectl.args(args).run().await.unwrap().text()
    }

    async fn create(&self, object: &Value) {
        let file = self.dir.path().join("object.json");
        fs::write(&file, object.to_string()).unwrap();
        self.admin(&["create", "-f", &file.display().to_string()]).await;
    }

    /// A bootstrap token that says what it is for.
    async fn token(&self, id: &str, description: &str) -> String {
        let secret = "0123456789abcdef";
        self.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "stringData": {
                "token-id": id, "token-secret": secret, "description": description,
                "usage-bootstrap-authentication": "true", "auth-extra-groups": GROUP,
            },
        }))
        .await;
        format!("{id}.{secret}")
    }

    /// kubectl with that token alone.
    async fn by(&self, token: &str, args: &[&str]) -> Finished {
        let ca = self.dir.path().join("ca.crt");
        fs::write(&ca, &self.plane.endpoint.ca).unwrap();
        let kubectl = Process::at(&self.kubectl).args(["--kubeconfig", "/dev/null", "--server"]);
        let kubectl = kubectl.arg(&self.plane.endpoint.server).arg("--certificate-authority");
        kubectl.arg(ca).args(["--token", token]).args(args).output().await.unwrap()
    }

    /// Asks by `token` to become `node`, as a kubelet does; gives the request's name.
    async fn ask(&self, token: &str, node: &str) -> String {
        let name = format!("{node}-by-{}", &token[..6]);
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("system:node:{node}"));
        let key = rcgen::KeyPair::generate().unwrap();
        let request = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": BASE64.encode(params.serialize_request(&key).unwrap().pem().unwrap()),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"],
            },
        });
        let file = self.dir.path().join("request.json");
        fs::write(&file, request.to_string()).unwrap();
        let asked = eventually("the token is known", PATIENCE, || async {
            let file = file.display().to_string();
            let asked = self.by(token, &["create", "--validate=false", "-f", &file]).await;
            let said = String::from_utf8_lossy(&asked.stderr).into_owned();
            (!said.contains("Unauthorized")).then_some((asked.code, said))
        });
        assert_eq!(asked.await, (0, String::new()));
        name
    }

    /// The conditions of a request, and whether it has a certificate.
    async fn answer(&self, request: &str) -> (String, bool) {
        let path = "jsonpath={.status.conditions[*].type} {.status.certificate}";
        let text = self.admin(&["get", "csr", request, "-o", path]).await;
        let (conditions, certificate) = text.split_once(' ').unwrap_or((&text, ""));
        (conditions.to_owned(), !certificate.is_empty())
    }

    async fn is_signed(&self, request: &str) {
        eventually(&format!("{request} is approved and signed"), PATIENCE, || async {
            (self.answer(request).await == ("Approved".to_owned(), true)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_makes_a_node_only_of_who_is_joining() {
    let cluster = Cluster::start().await;
    let (nodes, log) = (cluster.dir.path().join("nodes.json"), cluster.dir.path().join("log"));
    fs::write(&nodes, r#"{"cp-1": ["10.0.0.1"], "w-1": ["10.0.0.2"], "w-2": ["10.0.0.3"]}"#)
        .unwrap();
    let slipway = approver(&cluster.kubectl, &nodes).arg("--kubeconfig");
    let slipway = slipway.arg(cluster.plane.kubeconfig()).into_inner();
    let mut slipway = { slipway }.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    cluster.create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w-2"}})).await;
    let ready = r#"{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}"#;
    cluster.admin(&["patch", "node", "w-2", "--subresource=status", "-p", ready]).await;

    let ours = cluster.token("abcdef", "slipway: joins of w-1 w-2").await;
    let own = cluster.token("fedcba", "an operator's").await;
    cluster.is_signed(&cluster.ask(&ours, "w-1").await).await;
    for (token, node, why) in [
        (&ours, "cp-1", "`cp-1` is not joining now"),
        (&ours, "w-2", "`w-2` is a member, and its kubelet reports"),
        (&ours, "w-9", "`w-9` is not in the table of nodes"),
        (&own, "w-1", "the bootstrap token `fedcba` is none of slipway's"),
    ] {
        let request = cluster.ask(token, node).await;
        let line = format!("not approved: {request}: {why}");
        eventually(&line, PATIENCE, || async {
            fs::read_to_string(&log).unwrap().contains(&line).then_some(())
        })
        .await;
        assert_eq!(cluster.answer(&request).await, (String::new(), false), "{request}");
    }

    // A token that is gone is worth nothing.
    cluster.admin(&["-n", "kube-system", "delete", "secret", "bootstrap-token-abcdef"]).await;
    eventually("the token is refused", PATIENCE, || async {
        let said = cluster.by(&ours, &["get", "csr"]).await.stderr;
        String::from_utf8_lossy(&said).contains("Unauthorized").then_some(())
    })
    .await;

    // That the attack is one: with kubeadm's binding it works, without slipway's doing.
    let role = "--clusterrole=system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    let binding = ["create", "clusterrolebinding", "kubeadm:node-autoapprove-bootstrap", role];
    cluster.admin(&[&binding[..], &[&format!("--group={GROUP}")]].concat()).await;
    cluster.is_signed(&cluster.ask(&own, "cp-1").await).await;
    let log = fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("\napproved: ").count(), 1, "{log}");
    slipway.kill().await.unwrap();
}
