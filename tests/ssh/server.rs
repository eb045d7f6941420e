//! An SSH server inside the test: it runs what it is asked to with a login shell's `-c`, as sshd would.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use slipway::process::Process;

/// A listening server. It ends with the test.
pub struct Server {
    pub port: u16,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Alive,
    Frozen,
    Dead,
}

impl Server {
    /// Shows `keys`, lets everybody in whose key is not called `stranger`.
    pub async fn start(keys: Vec<PrivateKey>) -> Self {
        // A small buffer, so that a client feels soon that nobody reads.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(64).unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::new(server::Config {
            keys,
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            ..server::Config::default()
        });
        let (state, now) = watch::channel(State::Alive);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&config), socket, now.clone()));
            }
        });
        Self { port, state }
    }

    /// Drops all connections without a word.
    pub fn die(&self) {
        self.state.send_replace(State::Dead);
    }

    /// Keeps all connections, but neither reads nor writes.
    pub fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }
}

/// Carries bytes between the socket and russh, so that a connection can be cut at any time.
async fn serve(
    config: Arc<server::Config>,
    mut socket: TcpStream,
    mut now: watch::Receiver<State>,
) {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        if let Ok(session) = server::run_stream(config, far, Shell::default()).await {
            let _ = session.await;
        }
    });
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut socket, &mut near) => {}
        _ = now.wait_for(|now| *now != State::Alive) => {}
    }
    let _ = now.wait_for(|now| *now == State::Dead).await;
}

#[derive(Default)]
struct Shell {
    channels: HashMap<ChannelId, Channel<Msg>>,
    user: String,
}

/// What `user`'s login makes of `line`.
fn login(user: &str, line: &str) -> String {
    // sudo's place in the line; that it is there is part of what these users are for.
    let sudo = |does: &str| match line.split_once(" sudo -n -- ") {
        Some((before, after)) => format!("{before} sh -c '{does}' sudo {after}"),
        None => "echo no sudo >&2; exit 99".to_owned(),
    };
    match user {
        "admin" => sudo(r#"echo a warning of sudo >&2; exec "$@""#),
        "asked" => sudo(r#"echo "sudo: a password is required" >&2; exit 1"#),
        // A login that talks, and what its start-up files and PAM set.
        "noisy" => format!(
            "echo welcome; echo held; printf 'no newline'; echo bad locale >&2; set -x
             umask 077; export PATH=/nonexistent ENV=/nonexistent KUBECONFIG=/nonexistent
             export HTTPS_PROXY=http://192.0.2.9:3128 no_proxy=all ETCDCTL_API=2; {}",
            line.replacen(" sudo -n -- ", " ", 1)
        ),
        "keyed" => "echo 'Please login as the user \"debian\".'; exit 142".to_owned(),
        _ => line.to_owned(),
    }
}

impl server::Handler for Shell {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.user = user.to_owned();
        let sha1 = matches!(key.algorithm, russh::keys::Algorithm::Rsa { hash: None });
        Ok(if user == "stranger" || sha1 { Auth::reject() } else { Auth::Accept })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let line = String::from_utf8_lossy(line).into_owned();
        match self.channels.remove(&id) {
            Some(channel) if line != "forbidden" => {
                session.channel_success(id)?;
                tokio::spawn(run(login(&self.user, &line), channel, session.handle()));
            }
            _ => session.channel_failure(id)?,
        }
        Ok(())
    }
}

async fn run(line: String, channel: Channel<Msg>, handle: server::Handle) {
    let id = channel.id();
    let (read, write) = channel.split();
    let mut command = Process::new("sh").arg("-c").arg(line).into_inner();
    // A session of its own, as sshd gives it: `kill 0` must not reach the test.
    command.process_group(0).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let feeding = tokio::spawn(feed(read, child.stdin.take().unwrap()));
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let write = Arc::new(write);
    tokio::join!(drain(out, &write, None), drain(err, &write, Some(1)));
    let status = child.wait().await.unwrap();
    feeding.abort();
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(9) => {
            let _ = handle
                .exit_signal_request(id, Sig::KILL, false, String::new(), String::new())
                .await;
        }
        _ => {
            let code = status.code().unwrap_or(255).try_into().unwrap();
            let _ = write.exit_status(code).await;
        }
    }
    let _ = write.close().await;
}

async fn feed(mut read: ChannelReadHalf, mut stdin: tokio::process::ChildStdin) {
    // Like sshd, ends the input whether it was complete or the connection broke, and drains what
    // nobody reads any more.
    loop {
        match read.wait().await {
            Some(ChannelMsg::Data { data }) => drop(stdin.write_all(&data).await),
            None | Some(ChannelMsg::Eof | ChannelMsg::Close) => return,
            Some(_) => {}
        }
    }
}

async fn drain(mut pipe: impl AsyncRead + Unpin, write: &ChannelWriteHalf<Msg>, ext: Option<u32>) {
    let mut buffer = vec![0; 32 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let data = buffer[..count].to_vec();
        let sent = match ext {
            None => write.data_bytes(data).await,
            Some(ext) => write.extended_data_bytes(ext, data).await,
        };
        if sent.is_err() {
            return;
        }
    }
}
