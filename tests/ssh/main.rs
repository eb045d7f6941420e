//! SSH end to end: against a server inside this process, and against OpenSSH's own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod logins;
mod openssh;
mod run;
mod server;
mod trust;

use std::path::{Path, PathBuf};

use russh::keys::{PrivateKey, load_secret_key};
use slipway::cluster::Ssh;
use slipway::host::ssh::SshHost;
use slipway::host::trust::Refuse;
use slipway::process::Process;
use tempfile::TempDir;

use server::Server;

/// A server that may be logged in to, and all that this needs.
struct Lab {
    dir: TempDir,
    server: Server,
    ssh: Ssh,
}

impl Lab {
    async fn new() -> Self {
        Self::with("ed25519", "ed25519").await
    }

    /// With keys of these types for the host and for the user.
    async fn with(host: &'static str, user: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host_key = keygen(dir.path(), "host", host).await;
        let server = Server::start(vec![load(&host_key)]).await;
        let ssh = Ssh {
            host: "127.0.0.1".to_owned(),
            port: server.port,
            user: "root".to_owned(),
            identity: Some(keygen(dir.path(), "user", user).await),
            known_hosts: dir.path().join("known_hosts"),
            host_key: Some(public(&host_key)),
        };
        Self { dir, server, ssh }
    }

    async fn connect(&self) -> SshHost {
        SshHost::connect(&self.ssh, "cp-1", &Refuse).await.unwrap_or_else(|e| panic!("{e}"))
    }
}

/// Makes a key pair `dir/name` without a passphrase.
async fn keygen(dir: &Path, name: &str, kind: &'static str) -> PathBuf {
    let path = dir.join(name);
    let keygen = Process::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&path);
    keygen.run().await.unwrap();
    path
}

fn load(path: &Path) -> PrivateKey {
    load_secret_key(path, None).unwrap()
}

/// The public half, as the inventory pins it.
fn public(path: &Path) -> String {
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}
