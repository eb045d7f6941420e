//! Who is who: host keys, user keys, the agent.

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use slipway::command::Cmd;
use slipway::diagnostic::{Error, Kind};
use slipway::host::Transport;
use slipway::host::known_hosts::UnknownKey;
use slipway::host::ssh::SshHost;
use slipway::host::trust::{Refuse, Trust};
use slipway::process::Process;
use tokio::io::AsyncReadExt;

use crate::{Lab, keygen, public};

async fn refusal(lab: &Lab) -> Error {
    match SshHost::connect(&lab.ssh, "cp-1", &Refuse).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

async fn fingerprint(lab: &Lab, name: &str) -> String {
    let path = lab.dir.path().join(name);
    let shown = Process::new("ssh-keygen").arg("-lf").arg(path).run().await.unwrap().text();
    shown.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn another_host_key_is_refused_and_both_are_shown() {
    let mut lab = Lab::new().await;
    let other = keygen(lab.dir.path(), "other", "ed25519").await;
    lab.ssh.host_key = Some(public(&other));
    let error = refusal(&lab).await;
    assert_eq!(error.kind(), Kind::Connection);
    let shown = error.to_string();
    assert!(shown.contains(&fingerprint(&lab, "host").await), "{shown}");
    assert!(shown.contains(&fingerprint(&lab, "other").await), "{shown}");
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_and_can_be_pinned_from_the_hint() {
    let mut lab = Lab::new().await;
    let pinned = lab.ssh.host_key.take().unwrap();
    let error = refusal(&lab).await;
    assert_eq!(error.kind(), Kind::Connection);
    assert!(error.to_string().contains(&fingerprint(&lab, "host").await), "{error}");
    let key: Vec<&str> = pinned.split(' ').take(2).collect();
    assert!(error.advice().unwrap().contains(&key.join(" ")), "{error}");
    assert!(!lab.ssh.known_hosts.exists());
}

/// Says yes, once.
#[derive(Default)]
struct Yes(Mutex<Vec<UnknownKey>>);

impl Trust for Yes {
    fn accept<'a>(
        &'a self,
        question: &'a UnknownKey,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        self.0.lock().unwrap().push(question.clone());
        Box::pin(std::future::ready(true))
    }
}

#[tokio::test]
async fn an_accepted_host_key_is_known_from_then_on() {
    let mut lab = Lab::new().await;
    lab.ssh.host_key = None;
    let trust = Yes::default();
    let host = SshHost::connect(&lab.ssh, "cp-1", &trust).await.unwrap();
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok());
    let asked = trust.0.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].host, format!("[127.0.0.1]:{}", lab.server.port));
    assert_eq!(asked[0].fingerprint, fingerprint(&lab, "host").await);
    lab.connect().await;

    // The server's key changes.
    let other = keygen(lab.dir.path(), "other", "ed25519").await;
    let name = format!("[127.0.0.1]:{}", lab.server.port);
    fs::write(&lab.ssh.known_hosts, format!("{name} {}", public(&other))).unwrap();
    assert!(SshHost::connect(&lab.ssh, "cp-1", &trust).await.is_err());
    assert_eq!(trust.0.lock().unwrap().len(), 1, "a changed key is nobody's decision");
}

#[tokio::test]
async fn all_key_types_work() {
    for (host, user) in [("ed25519", "ecdsa"), ("ecdsa", "rsa"), ("rsa", "ed25519")] {
        let lab = Lab::with(host, user).await;
        assert!(lab.connect().await.run(&Cmd::new("true")).await.unwrap().ok(), "{host} {user}");
    }
}

#[tokio::test]
async fn pem_keys_work() {
    for kind in ["rsa", "ecdsa"] {
        for format in ["PEM", "PKCS8"] {
            let lab = Lab::with("ed25519", kind).await;
            let path = lab.ssh.identity.clone().unwrap();
            let convert =
                Process::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "", "-m", format]);
            convert.arg("-f").arg(path).run().await.unwrap();
            lab.connect().await;
        }
    }
}

#[tokio::test]
async fn a_refused_key_is_named() {
    let mut lab = Lab::new().await;
    lab.ssh.user = "stranger".to_owned();
    let error = refusal(&lab).await;
    let path = lab.dir.path().join("user");
    let expected = format!("`cp-1` refused the key {} for the user `stranger`", path.display());
    assert_eq!((error.kind(), error.message()), (Kind::Connection, &*expected));
}

#[tokio::test]
async fn unusable_key_files_are_explained() {
    let mut lab = Lab::new().await;
    let path = lab.dir.path().join("user");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let error = refusal(&lab).await;
    assert!(error.message().contains("(mode 0644)"), "{error}");
    assert_eq!(error.advice().unwrap(), format!("chmod 600 '{}'", path.display()));

    for format in ["RFC4716", "PEM", "PKCS8"] {
        let locked = keygen(lab.dir.path(), format, "rsa").await;
        let convert =
            Process::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "secret", "-m", format]);
        convert.arg("-f").arg(&locked).run().await.unwrap();
        lab.ssh.identity = Some(locked);
        let error = refusal(&lab).await;
        assert!(error.message().contains("has a passphrase"), "{format}: {error}");
        assert!(error.advice().unwrap().contains("ssh-add"), "{error}");
    }

    lab.ssh.identity = Some(lab.dir.path().join("none"));
    assert_eq!(refusal(&lab).await.kind(), Kind::Machine);
}

#[tokio::test]
async fn nobody_listening_is_said_at_once() {
    let mut lab = Lab::new().await;
    lab.ssh.port = 1;
    let error = refusal(&lab).await;
    assert_eq!(error.kind(), Kind::Connection);
    assert!(error.message().contains("`cp-1` (root@127.0.0.1:1): Connection refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let mut lab = Lab::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.ssh.port = silent.local_addr().unwrap().port();
    let started = Instant::now();
    let error = refusal(&lab).await;
    assert_eq!(error.kind(), Kind::Connection);
    assert!(error.message().contains("no SSH login within 20 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(25));
    // Nothing of the attempt stays behind.
    let (mut socket, _) = silent.accept().await.unwrap();
    let mut greeting = Vec::new();
    let all = socket.read_to_end(&mut greeting);
    assert!(tokio::time::timeout(Duration::from_secs(1), all).await.is_ok());
}
