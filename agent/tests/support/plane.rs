//! A control plane of real components: etcd, API server, controller manager, as child processes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::Api;
use slipway_agent::credential::{Endpoint, Proof, client};
use zeroize::Zeroizing;

use super::bundle::components;
use super::eventually;
use super::keys::Keys;

/// How long a component may take to be ready, on a busy machine.
const START: Duration = Duration::from_mins(4);

/// Ends a component with whoever started it, however that ended: its standard input is a pipe that
/// nobody writes to, and that the kernel closes.
const GUARD: &str = r#"name=$1; shift
"$@" >"$name.log" 2>&1 </dev/null & pid=$!
cat >/dev/null
kill -KILL $pid; wait $pid 2>/dev/null; rm -rf "$name-data""#;

pub struct Plane {
    pub keys: Keys,
    pub endpoint: Endpoint,
    dir: PathBuf,
    port: u16,
    etcd: u16,
    children: Mutex<Vec<(&'static str, Child)>>,
}

impl Plane {
    /// Starts a control plane; `controllers` as kube-controller-manager's own flag, `None` for none.
    pub async fn start(name: &str, controllers: Option<&str>) -> Self {
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        clear(name);
        fs::create_dir_all(&dir).unwrap();
        let keys = Keys::new();
        for (file, text) in [
            ("ca.crt", &keys.ca),
            ("ca.key", &keys.ca_key),
            ("server.crt", &keys.server.0),
            ("server.key", &keys.server.1),
            ("accounts.key", &keys.accounts.serialize_pem()),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }
        let port = free_port();
        let endpoint = Endpoint {
            server: format!("https://127.0.0.1:{port}"),
            ca: keys.ca.clone().into_bytes(),
        };
        let plane =
            Self { keys, endpoint, dir, port, etcd: free_port(), children: Mutex::default() };
        plane.start_etcd();
        plane.start_api().await;
        if let Some(controllers) = controllers {
            plane.start_controllers(controllers).await;
        }
        plane
    }

    /// A file for kubectl, with every right; there only with controllers.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// A client with every right.
    pub fn admin(&self) -> Client {
        let (certificate, key) = self.keys.admin.clone();
        self.client(&Proof::Certificate { certificate, key: Zeroizing::new(key) })
    }

    pub fn client(&self, proof: &Proof) -> Client {
        client(&self.endpoint, proof).unwrap()
    }

    pub fn with_token(&self, token: &str) -> Client {
        self.client(&Proof::Token(Zeroizing::new(token.to_owned())))
    }

    /// Ends the API server at once.
    pub fn stop_api(&self) {
        let mut children = self.children.lock().unwrap();
        let position = children.iter().position(|(name, _)| *name == "kube-apiserver").unwrap();
        let (_, mut child) = children.remove(position);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// Starts the API server, again or for the first time.
    pub async fn start_api(&self) {
        let file = |name: &str| self.dir.join(name).display().to_string();
        self.spawn(
            "kube-apiserver",
            &[
                format!("--etcd-servers=http://127.0.0.1:{}", self.etcd),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={}", self.port),
                format!("--tls-cert-file={}", file("server.crt")),
                format!("--tls-private-key-file={}", file("server.key")),
                format!("--client-ca-file={}", file("ca.crt")),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", file("accounts.key")),
                format!("--service-account-signing-key-file={}", file("accounts.key")),
                "--authorization-mode=RBAC".to_owned(),
                "--enable-bootstrap-token-auth".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--allow-privileged=true".to_owned(),
                "--profiling=false".to_owned(),
            ],
        );
        let admin = self.admin();
        eventually("the API server is ready", START, || async {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            let asked = tokio::time::timeout(Duration::from_secs(5), admin.request_text(request));
            asked.await.ok()?.ok()
        })
        .await;
    }

    fn start_etcd(&self) {
        let peer = free_port();
        self.spawn(
            "etcd",
            &[
                format!("--data-dir={}", self.dir.join("etcd-data").display()),
                format!("--listen-client-urls=http://127.0.0.1:{}", self.etcd),
                format!("--advertise-client-urls=http://127.0.0.1:{}", self.etcd),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=error".to_owned(),
            ],
        );
    }

    async fn start_controllers(&self, controllers: &str) {
        use base64::Engine as _;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let (certificate, key) = &self.keys.admin;
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{ "name": "x", "cluster": {
                "server": self.endpoint.server,
                "certificate-authority-data": encode(&self.keys.ca),
            }}],
            "users": [{ "name": "x", "user": {
                "client-certificate-data": encode(certificate), "client-key-data": encode(key),
            }}],
            "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x" } }],
        });
        fs::write(self.kubeconfig(), kubeconfig.to_string()).unwrap();
        let file = |name: &str| self.dir.join(name).display().to_string();
        self.spawn(
            "kube-controller-manager",
            &[
                format!("--kubeconfig={}", file("kubeconfig")),
                format!("--controllers={controllers}"),
                "--leader-elect=false".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={}", free_port()),
                format!("--cert-dir={}", self.dir.display()),
                format!("--cluster-signing-cert-file={}", file("ca.crt")),
                format!("--cluster-signing-key-file={}", file("ca.key")),
                format!("--service-account-private-key-file={}", file("accounts.key")),
                format!("--root-ca-file={}", file("ca.crt")),
            ],
        );
        let accounts = Api::<ServiceAccount>::namespaced(self.admin(), "default");
        eventually("the controllers work", START, || async {
            accounts.get_opt("default").await.ok()?
        })
        .await;
    }

    /// The process of a component.
    pub fn pid(&self, name: &str) -> u32 {
        let children = self.children.lock().unwrap();
        let guard = children.iter().find(|(known, _)| *known == name).unwrap().1.id();
        let tasks = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
        let component = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("--"))
        };
        tasks.split_whitespace().find(component).unwrap().parse().unwrap()
    }

    fn spawn(&self, name: &'static str, arguments: &[String]) {
        let child = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(self.dir.join(name))
            .arg(components().join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.children.lock().unwrap().push((name, child));
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        for (_, child) in self.children.lock().unwrap().iter_mut().rev() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Removes what earlier runs left: logs, and keys that are worth nothing.
fn clear(name: &str) {
    for entry in fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten() {
        let file = entry.file_name();
        let pid = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
