//! Commands: what goes in, what comes out, and what happens when they do not end well.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slipway::command::{Cmd, Input, Stream};
use slipway::diagnostic::Kind;
use slipway::host::Transport;
use slipway::secret::Secret;

use crate::Lab;

#[tokio::test]
async fn the_exit_code_and_both_outputs_come_back() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let out = host.run(&Cmd::shell("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((out.code, &*out.stdout, &*out.stderr), (3, &b"out\n"[..], &b"err\n"[..]));
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok());
    assert_eq!(host.execs(), 2);
    host.close().await;
}

#[tokio::test]
async fn a_signal_counts_as_128_and_its_number() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    assert_eq!(host.run(&Cmd::shell("kill -9 0")).await.unwrap().code, 137);
}

#[tokio::test]
async fn words_arrive_as_they_are() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let hostile = "a b'\"$HOME`id`\n\\;*";
    for input in [Input::Nothing, Input::Bytes(b"x".to_vec())] {
        let cmd = Cmd::new("printf").args(["%s|", hostile, "", "-n"]).stdin(input);
        assert_eq!(host.run(&cmd).await.unwrap().text(), format!("{hostile}||-n|"));
    }
}

#[tokio::test]
async fn input_arrives_whole_and_ends() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    for bytes in [b"".to_vec(), b"x".to_vec(), b"no newline\nat the end".to_vec(), vec![0; 100_000]]
    {
        let inputs = [
            Input::Bytes(bytes.clone()),
            Input::Secret(Secret::new(bytes.clone())),
            Input::Stream(Arc::new(bytes.clone())),
        ];
        for input in inputs {
            let out = host.run(&Cmd::new("cat").stdin(input)).await.unwrap();
            assert_eq!((out.code, out.stdout), (0, bytes.clone()));
        }
    }
    assert_eq!(host.run(&Cmd::new("cat")).await.unwrap().stdout, b"");
}

#[tokio::test]
async fn a_large_stream_arrives_unchanged() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let data: Vec<u8> = (0..64_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let local =
        slipway::process::Process::new("sha256sum").stdin(data.clone()).run().await.unwrap();
    let cmd = Cmd::new("sha256sum").stdin(Input::Stream(Arc::new(data)));
    assert_eq!(host.run(&cmd).await.unwrap().text().trim_end(), local.text());
}

#[tokio::test]
async fn a_command_may_leave_its_input_unread() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let cmd = Cmd::shell("exit 7").stdin(Input::Stream(Arc::new(vec![0; 64 << 20])));
    let out = tokio::time::timeout(Duration::from_secs(10), host.run(&cmd)).await.unwrap();
    assert_eq!(out.unwrap().code, 7);
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok(), "the connection is still good");
}

/// Writes `given` of the bytes that it promised, then fails, or ends as if nothing were wrong.
struct Short {
    promised: u64,
    given: usize,
    fails: bool,
}

impl Stream for Short {
    fn copy_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&vec![b'x'; self.given])?;
        if self.fails { Err(io::Error::other("the digest differs")) } else { Ok(()) }
    }

    fn size(&self) -> u64 {
        self.promised
    }
}

#[tokio::test]
async fn a_partial_stream_is_never_taken_for_the_whole() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let target = lab.dir.path().join("target");
    let last_byte = Short { promised: 1 << 20, given: (1 << 20) - 1, fails: true };
    let silent = Short { promised: 1 << 20, given: 1 << 19, fails: false };
    let too_long = Short { promised: 1 << 19, given: 1 << 20, fails: false };
    for (stream, why) in [(last_byte, "digest"), (silent, "before"), (too_long, "larger")] {
        let cmd = Cmd::shell("cat > \"$1.new\" && mv \"$1.new\" \"$1\"")
            .arg(target.to_str().unwrap())
            .stdin(Input::Stream(Arc::new(stream)));
        let error = host.run(&cmd).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Command);
        assert!(error.message().contains(why), "{error}");
        assert!(host.run(&Cmd::new("true")).await.unwrap().ok());
        assert!(!target.exists(), "{why}");
    }
}

#[tokio::test]
async fn a_broken_connection_does_not_complete_a_file() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let target = lab.dir.path().join("target");
    let stuck = Arc::new(Stuck);
    let cmd = Cmd::shell("cat > \"$1.new\" && mv \"$1.new\" \"$1\"")
        .arg(target.to_str().unwrap())
        .stdin(Input::Stream(stuck));
    let (result, ()) = tokio::join!(host.run(&cmd), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        lab.server.die();
    });
    assert_eq!(result.unwrap_err().kind(), Kind::Connection);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lab.dir.path().join("target.new").exists() && !target.exists());
}

/// Gives half of what it promised and then nothing for a while.
pub struct Stuck;

impl Stream for Stuck {
    fn copy_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&vec![0; 512 << 10])?;
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(Duration::from_secs(2));
        Err(io::ErrorKind::TimedOut.into())
    }

    fn size(&self) -> u64 {
        1 << 20
    }
}

#[tokio::test]
async fn a_dead_server_is_noticed_in_seconds() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let started = Instant::now();
    let cmd = Cmd::new("sleep").arg("60");
    let (result, ()) = tokio::join!(host.run(&cmd), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        lab.server.die();
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Connection);
    assert!(error.message().contains("`cp-1`") && error.message().contains("unknown"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(host.run(&Cmd::new("true")).await.unwrap_err().kind(), Kind::Connection);
}

/// Four streams hold more than the socket's buffer, so that keepalives get stuck behind them.
#[tokio::test]
async fn a_frozen_server_is_noticed_in_seconds_even_while_sending() {
    for (input, count) in [(Input::Nothing, 1), (Input::Stream(Arc::new(Endless)), 4)] {
        let lab = Lab::new().await;
        let host = Arc::new(lab.connect().await);
        let cmd = Cmd::shell("cat > /dev/null; sleep 60").stdin(input);
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (host, cmd) = (Arc::clone(&host), cmd.clone());
            running.spawn(async move { host.run(&cmd).await });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        lab.server.freeze();
        let frozen = Instant::now();
        for result in running.join_all().await {
            assert_eq!(result.unwrap_err().kind(), Kind::Connection);
        }
        assert!(frozen.elapsed() < Duration::from_secs(20), "{:?}", frozen.elapsed());
    }
}

struct Endless;

impl Stream for Endless {
    fn copy_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        loop {
            out.write_all(&[0; 64 << 10])?;
        }
    }

    fn size(&self) -> u64 {
        1 << 40
    }
}

#[tokio::test]
async fn a_command_over_its_limit_is_named() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let cmd = Cmd::new("sleep").arg("60").within(Duration::from_millis(300));
    let error = host.run(&cmd).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.message().contains("`sleep 60`"), "{error}");
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok(), "the connection is still good");
}

#[tokio::test]
async fn output_is_capped_and_drained() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let error = host.run(&Cmd::shell("head -c 20000000 /dev/zero")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Command);
    assert!(error.message().contains("more than 8 MiB"), "{error}");
    let out = host.run(&Cmd::shell("head -c 20000000 /dev/zero >&2; echo end")).await.unwrap();
    // The cap holds for what comes before the command's own, too.
    assert!((255 << 10..=256 << 10).contains(&out.stderr.len()) && out.stdout == b"end\n");
}

#[tokio::test]
async fn hostile_output_is_left_as_it_is() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    let out = host.run(&Cmd::shell("printf '\\033[31mPassword: \\377'")).await.unwrap();
    assert_eq!(out.stdout, b"\x1b[31mPassword: \xff");
}

#[tokio::test]
async fn many_commands_share_one_connection() {
    let lab = Lab::new().await;
    let host = Arc::new(lab.connect().await);
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let host = Arc::clone(&host);
        running.spawn(async move {
            let cmd = Cmd::new("echo").arg(number.to_string());
            assert_eq!(host.run(&cmd).await.unwrap().text(), format!("{number}\n"));
        });
    }
    running.join_all().await;
    assert_eq!(host.execs(), 20);
}

#[tokio::test]
async fn abandoned_commands_give_their_channels_back() {
    let lab = Lab::new().await;
    let host = lab.connect().await;
    for _ in 0..30 {
        let cmd = Cmd::shell("yes");
        let _ = tokio::time::timeout(Duration::from_millis(10), host.run(&cmd)).await;
    }
    assert!(host.run(&Cmd::new("true")).await.unwrap().ok());
}

#[tokio::test]
async fn other_users_than_root_use_sudo() {
    let mut lab = Lab::new().await;
    lab.ssh.user = "admin".to_owned();
    let host = lab.connect().await;
    for input in [Input::Nothing, Input::Bytes(b"x".to_vec())] {
        let out = host.run(&Cmd::new("printf").args(["%s", "a b"]).stdin(input)).await.unwrap();
        assert_eq!((&*out.stdout, &*out.stderr), (&b"a b"[..], &b""[..]));
    }

    lab.ssh.user = "asked".to_owned();
    let host = lab.connect().await;
    let run = host.run(&Cmd::new("true")).await.unwrap_err();
    let held = host.hold(&Cmd::new("true"), Duration::from_secs(1)).await.err().unwrap();
    for error in [run, held] {
        assert!(error.message().contains("user `asked` needs sudo without a password on `cp-1`"));
    }
}

#[tokio::test]
async fn what_a_login_prints_or_sets_does_not_matter() {
    let mut lab = Lab::new().await;
    lab.ssh.user = "noisy".to_owned();
    let host = lab.connect().await;
    let cmd = Cmd::shell("env | sort; umask; echo end >&2");
    for input in [Input::Nothing, Input::Bytes(b"x".to_vec())] {
        let out = host.run(&cmd.clone().stdin(input)).await.unwrap();
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let expected = format!("HOME=/root\nKUBERC=off\nLC_ALL=C\nPATH={path}\nPWD=/\n0022\n");
        assert_eq!((out.text(), &*out.stderr), (expected, &b"end\n"[..]));
    }
    // The login itself has printed `held`.
    let taken = Cmd::shell("echo somebody; exit 75");
    let output = host.hold(&taken, Duration::from_secs(1)).await.unwrap().err().unwrap();
    assert_eq!((output.code, output.text().trim()), (75, "somebody"));
    let held = Cmd::shell("echo held; cat >/dev/null");
    assert!(host.hold(&held, Duration::from_secs(1)).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_login_that_runs_something_else_is_quoted() {
    let mut lab = Lab::new().await;
    lab.ssh.user = "keyed".to_owned();
    let error = lab.connect().await.run(&Cmd::new("true")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connection);
    assert!(error.message().contains("something else (exit code 142)"), "{error}");
    assert_eq!(error.notes(), ["Please login as the user \"debian\"."]);
}
