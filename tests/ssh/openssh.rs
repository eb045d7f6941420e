//! Against OpenSSH: its server, and its agent.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use slipway::cluster::Ssh;
use slipway::command::{Cmd, Input};
use slipway::diagnostic::Kind;
use slipway::host::Transport;
use slipway::host::ssh::SshHost;
use slipway::host::trust::Refuse;
use slipway::process::Process;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use crate::{keygen, public};

/// A real `sshd` on a port of its own.
pub struct Sshd {
    pub dir: TempDir,
    pub ssh: Ssh,
    _child: Child,
}

impl Sshd {
    async fn start(user_key: &'static str) -> Self {
        Self::with(user_key, "", "").await
    }

    /// With more lines of configuration; behind `wrap`, a shell text that prepares `$1`, the server's
    /// directory, and ends with `exec "$@"`.
    pub async fn with(user_key: &'static str, more: &str, wrap: &str) -> Self {
        let sshd = Path::new("/usr/sbin/sshd");
        assert!(sshd.exists(), "{} is missing: install openssh-server", sshd.display());
        let dir = tempfile::tempdir().unwrap();
        let host = keygen(dir.path(), "host", "ed25519").await;
        let user = keygen(dir.path(), "user", user_key).await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Only root's sshd needs it, and only its packages' units make it.
        let _ = std::fs::create_dir("/run/sshd");
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nAuthorizedKeysFile {user}.pub\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n{more}",
            host = host.display(),
            user = user.display(),
        );
        let file = dir.path().join("sshd_config");
        std::fs::write(&file, config).unwrap();
        let command = match wrap {
            "" => Process::at(sshd),
            wrap => {
                let unshare = Process::new("unshare").args(["--mount", "sh", "-euc", wrap, "sh"]);
                unshare.arg(dir.path()).arg(sshd)
            }
        };
        let mut command = command.args(["-D", "-e", "-f"]).arg(&file).into_inner();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ssh = Ssh {
            host: "127.0.0.1".to_owned(),
            port,
            user: Process::new("id").arg("-un").run().await.unwrap().text(),
            identity: Some(user),
            known_hosts: dir.path().join("known_hosts"),
            host_key: Some(public(&host)),
        };
        Self { dir, ssh, _child: child }
    }

    pub async fn connect(&self) -> SshHost {
        SshHost::connect(&self.ssh, "cp-1", &Refuse).await.unwrap_or_else(|e| panic!("{e}"))
    }
}

#[tokio::test]
async fn commands_work() {
    let sshd = Sshd::start("ed25519").await;
    let host = sshd.connect().await;
    let cmd = Cmd::shell("cat; echo err >&2; exit 3").stdin(Input::Bytes(b"in".to_vec()));
    let out = host.run(&cmd).await.unwrap();
    assert_eq!((out.code, &*out.stdout, &*out.stderr), (3, &b"in"[..], &b"err\n"[..]));
    assert_eq!(host.run(&Cmd::shell("kill -9 $$")).await.unwrap().code, 137);
    host.close().await;
}

#[tokio::test]
async fn who_comes_second_hears_who_was_first() {
    let sshd = Sshd::start("ed25519").await;
    let host = sshd.connect().await;
    let heartbeat = Duration::from_millis(50);
    let hold =
        host.hold(&Cmd::shell("echo held; cat >/dev/null"), heartbeat).await.unwrap().unwrap();
    for _ in 0..10 {
        let taken = Cmd::shell("echo somebody, since then; exit 75");
        let output = host.hold(&taken, heartbeat).await.unwrap().err().unwrap();
        assert_eq!((output.code, output.text().trim()), (75, "somebody, since then"));
    }
    assert!(!hold.is_lost());
}

#[tokio::test]
async fn many_more_commands_than_sshd_allows_at_once() {
    let sshd = Sshd::start("rsa").await;
    let host = Arc::new(sshd.connect().await);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let host = Arc::clone(&host);
        running.spawn(async move { assert!(host.run(&Cmd::new("true")).await.unwrap().ok()) });
    }
    running.join_all().await;
    assert_eq!(host.execs(), 60);
}

#[tokio::test]
async fn many_connections_at_once_are_all_let_in() {
    let sshd = Sshd::start("ed25519").await;
    let mut connecting = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let ssh = sshd.ssh.clone();
        connecting.spawn(async move { SshHost::connect(&ssh, "cp-1", &Refuse).await.map(drop) });
    }
    for result in connecting.join_all().await {
        result.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// As an sshd with too many at once does (`MaxStartups`), some by an end, some by a reset.
#[tokio::test]
async fn who_is_turned_away_comes_again() {
    let sshd = Sshd::start("ed25519").await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut ssh = sshd.ssh.clone();
    let within = (ssh.host.clone(), ssh.port);
    ssh.port = door.local_addr().unwrap().port();
    let turned_away = tokio::spawn(async move {
        for reset in [false, true, false] {
            let (mut client, _) = door.accept().await.unwrap();
            if reset {
                continue;
            }
            client.write_all(b"Not allowed at this time\r\n").await.unwrap();
            // What was heard does not reset the connection when it ends.
            let _ = client.read(&mut [0; 4096]).await.unwrap();
        }
        let (mut client, _) = door.accept().await.unwrap();
        let mut server = TcpStream::connect(within).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let host = SshHost::connect(&ssh, "cp-1", &Refuse).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok());
    host.close().await;
    turned_away.await.unwrap();
}

#[tokio::test]
async fn streams_arrive_whole_or_not_at_all() {
    let sshd = Sshd::start("ecdsa").await;
    let target = sshd.dir.path().join("target");
    // A name of its own for each: a command that was given up may write for a while yet.
    let script = "t=$(mktemp \"$1.XXXXXX\") && cat > \"$t\" && mv \"$t\" \"$1\"";
    let write = Cmd::shell(script).arg(target.to_str().unwrap());
    let begun = || {
        let names = std::fs::read_dir(sshd.dir.path()).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("target.")).count()
    };

    // The run is given up while data flows: sshd closes the command's input.
    let host = sshd.connect().await;
    let endless = write.clone().stdin(Input::Stream(Arc::new(crate::run::Stuck)));
    tokio::select! {
        _ = host.run(&endless) => panic!("it ended"),
        () = async { while begun() == 0 { tokio::time::sleep(Duration::from_millis(10)).await } } => {}
    }
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok());
    assert_eq!((begun(), target.exists()), (1, false));

    // The whole connection goes away.
    let second = sshd.connect().await;
    let _ = tokio::time::timeout(Duration::from_millis(300), second.run(&endless)).await;
    drop(second);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!target.exists());

    let data = vec![7; 64 << 20];
    let whole = write.stdin(Input::Stream(Arc::new(data.clone())));
    assert!(host.run(&whole).await.unwrap().ok());
    assert!(std::fs::read(&target).unwrap() == data);
}

#[tokio::test]
async fn the_agent_is_asked_when_no_key_is_named() {
    let this = std::env::current_exe().unwrap();
    let inner = ["--exact", "openssh::within_an_agent", "--ignored"];
    Process::new("ssh-agent").arg(this).args(inner).run().await.unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test]
#[ignore = "run by the test above, under an agent of its own"]
async fn within_an_agent() {
    let mut sshd = Sshd::start("rsa").await;
    let key = sshd.ssh.identity.take().unwrap();
    let add = async |key: &Path| Process::new("ssh-add").arg(key).run().await.unwrap();
    let refusal = async |ssh: &Ssh| match SshHost::connect(ssh, "cp-1", &Refuse).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    };
    assert!(refusal(&sshd.ssh).await.message().contains("the agent holds none"));

    for number in 0..5 {
        add(&keygen(sshd.dir.path(), &format!("other{number}"), "ed25519").await).await;
    }
    let error = refusal(&sshd.ssh).await;
    assert_eq!(error.kind(), Kind::Connection);
    assert_eq!(error.to_string().matches("tried SHA256:").count(), 5, "{error}");

    add(&key).await;
    assert!(sshd.connect().await.run(&Cmd::new("true")).await.unwrap().ok());

    // The right one is the eighth.
    Process::new("ssh-add").arg("-d").arg(&key).run().await.unwrap();
    for number in 5..7 {
        add(&keygen(sshd.dir.path(), &format!("other{number}"), "ed25519").await).await;
    }
    add(&key).await;
    let error = refusal(&sshd.ssh).await;
    assert_eq!(error.to_string().matches("tried SHA256:").count(), 6, "{error}");
    assert!(error.message().contains("refused 6 of the agent's 8 keys"), "{error}");
    assert!(error.advice().unwrap().contains("`identityFile`"), "{error}");

    // Its public half chooses it.
    sshd.ssh.identity = Some(key.with_extension("pub"));
    assert!(sshd.connect().await.run(&Cmd::new("true")).await.unwrap().ok());
    Process::new("ssh-add").arg("-d").arg(&key).run().await.unwrap();
    let error = refusal(&sshd.ssh).await;
    assert_eq!(error.kind(), Kind::Machine);
    assert!(error.message().contains("it is none of the agent's 7 keys"), "{error}");
    assert_eq!(error.advice().unwrap(), format!("load it: `ssh-add '{}'`", key.display()));

    let strict = Sshd::with("rsa", "MaxAuthTries 2\n", "").await;
    let error = refusal(&Ssh { identity: None, ..strict.ssh.clone() }).await;
    assert!(error.message().contains("refused 2 of the agent's 7 keys"), "{error}");
    assert!(error.message().contains("MaxAuthTries"), "{error}");
}

#[tokio::test]
async fn few_sessions_are_enough() {
    let heartbeat = Duration::from_millis(50);
    let lease = Cmd::shell("echo held; cat >/dev/null");
    for allowed in [4, 3, 2] {
        let sshd = Sshd::with("ed25519", &format!("MaxSessions {allowed}\n"), "").await;
        let host = Arc::new(sshd.connect().await);
        let hold = host.hold(&lease, heartbeat).await.unwrap().unwrap();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let host = Arc::clone(&host);
            running.spawn(async move { host.run(&Cmd::new("sleep").arg("0.1")).await });
        }
        for result in running.join_all().await {
            assert!(result.unwrap_or_else(|e| panic!("{allowed}: {e}")).ok());
        }
        assert!(!hold.is_lost());
    }

    // Without room for the lease.
    let sshd = Sshd::with("ed25519", "MaxSessions 1\n", "").await;
    let host = sshd.connect().await;
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok());
    let _hold = host.hold(&lease, heartbeat).await.unwrap().unwrap();
    let error = host.run(&Cmd::new("true")).await.unwrap_err();
    let hint = "its sshd must allow 2 sessions on one connection, better 4 (MaxSessions)";
    assert_eq!((error.kind(), error.advice()), (Kind::Connection, Some(hint)), "{error}");
}
