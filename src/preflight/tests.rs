//! The look itself, by real shells on this machine, and what it asks.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::command::Output;
use crate::probe::Probe;
use crate::steps::Context;
use crate::survey::Answer;
use crate::survey::Facts;

/// Debian's own `sh`, what it is, and the shell that others have for it.
const SHELLS: &[&str] = &["sh", "dash", "bash"];

#[expect(clippy::disallowed_methods, reason = "asks a real shell")]
fn ask(shell: &str, probe: &Probe, words: &[String]) -> Output {
    let output = std::process::Command::new(shell)
        .args(["-c", probe.text(), "slipway"])
        .args(words)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    Output { stdout: output.stdout, ..Output::default() }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_nanos().try_into().unwrap()
}

#[test]
fn the_look_itself_runs_on_this_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let questions = [
        format!("ports=1 {port}"),
        format!("peer=127.0.0.1 1 {port}"),
        "vip=127.0.0.1".to_owned(),
        "endpoint=localhost 1".to_owned(),
    ];
    let probe = Probe::survey(&questions);
    for shell in SHELLS {
        let (began, asked) = (Instant::now(), now());
        let output = ask(shell, &probe, probe.words());
        let mut facts = Facts::parse(&output).unwrap();
        facts.machine.clock.heard(asked, now());
        assert!(began.elapsed() < Duration::from_secs(60), "{shell}: {:?}", began.elapsed());
        let machine = &facts.machine;
        assert!(clock::is_this_machines(&machine.clock), "{shell}: {:?}", machine.clock);
        assert!(!machine.hostname.is_empty() && !machine.kernel.is_empty(), "{shell}");
        assert!(machine.cpus >= Some(1) && machine.memory > Some(100), "{shell}: {machine:?}");
        assert_eq!(machine.link("lo").unwrap().mac, "00:00:00:00:00:00", "{shell}");
        assert_eq!(machine.disks.len(), 4, "{shell}");
        assert!(machine.disks.iter().all(|disk| disk.size > disk.free), "{shell}: {machine:?}");
        let [there] = &machine.listeners[..] else { panic!("{shell}: {:?}", machine.listeners) };
        assert_eq!((there.port, there.address.as_str()), (port, "127.0.0.1"), "{shell}");
        // "Refused" is an answer, and who has an address does not ask who has it.
        assert!(machine.silent.is_empty() && machine.vip.is_none(), "{shell}: {machine:?}");
        assert_eq!(machine.endpoint, Some(Answer::Refused), "{shell}");
    }
}

#[test]
fn synced_writes_are_timed_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["/nonexistent".to_owned(), dir.path().to_str().unwrap().to_owned()];
    for shell in SHELLS {
        let output = ask(shell, &Probe::synced_writes(), &words);
        let text = output.text();
        let times = text.strip_prefix("began\n").unwrap();
        assert!(times.lines().all(|line| line.parse::<f64>().is_ok()), "{shell}: {text}");
        // A machine as slow as that has the finding for it.
        assert!(
            times.lines().count() == 20 || synced("cp-1", &output).is_some(),
            "{shell}: {text}"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn nodes_ask_those_whom_they_will_use() {
    let workers: Vec<String> = (1..=40).map(|n| format!("w-{n}")).collect();
    let names: Vec<&str> =
        ["cp-1", "cp-2"].into_iter().chain(workers.iter().map(String::as_str)).collect();
    let cluster = Context::sample(&[], &names).cluster;
    let of = |name: &str| questions(&cluster, cluster.node(name).unwrap());
    let own = of("cp-1");
    assert_eq!(own[0], "ports=10248 10250 10249 10256 6443 2379 2380 2381 10257 10259");
    assert_eq!(
        own[1..4],
        ["peer=10.0.0.2 6443 10250 2379 2380", "peer=10.0.0.3 10250", "peer=10.0.0.4 10250"]
    );
    assert_eq!(of("w-1")[1..4], ["peer=10.0.0.1 6443", "peer=10.0.0.2 6443", "peer=10.0.0.4 "]);
    let mut asked = std::collections::BTreeSet::new();
    for name in &names {
        let words = of(name);
        assert!(words.len() <= 1 + 2 + ASKED, "{name}: {}", words.len());
        asked.extend(
            words
                .into_iter()
                .filter(|word| word.starts_with("peer="))
                .map(|word| word.split(' ').next().unwrap().to_owned()),
        );
    }
    assert_eq!(asked.len(), names.len());
}
