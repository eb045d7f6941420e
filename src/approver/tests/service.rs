//! The service, with a script in `kubectl`'s place.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use super::super::service::Pace;
use super::*;
use crate::process::Process;

/// Prints what is in `stream`, then waits if there is a file `hold`; notes what is approved.
const KUBECTL: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$*" in
"--kubeconfig $here/admin.conf certificate approve -- "*)
    shift 5
    echo "$*" >>"$here/approved"
    if [ -e "$here/refuse" ]; then echo "conflict" >&2; exit 1; fi ;;
"--kubeconfig $here/admin.conf get --namespace kube-system secret --ignore-not-found --output jsonpath={.data.description} -- bootstrap-token-abc123")
    cat "$here/description" 2>/dev/null; exit 0 ;;
"--kubeconfig $here/admin.conf get node --ignore-not-found --output jsonpath="*" -- w-1")
    cat "$here/ready" 2>/dev/null; exit 0 ;;
"--kubeconfig $here/admin.conf get certificatesigningrequests"*)
    echo $$ >>"$here/watches"
    cat "$here/stream"
    if [ -e "$here/hold" ]; then exec sleep 600; fi
    printf 'boom\033[31m\n' >&2
    exit 1 ;;
*) echo "unexpected: $*" >>"$here/approved" ;;
esac
"#;

struct Bench {
    dir: tempfile::TempDir,
    log: RefCell<Vec<String>>,
}

impl Bench {
    async fn new(objects: &[Value]) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap(), log: RefCell::default() };
        // Written by a process of its own: a file that is open for writing cannot be executed.
        Process::new("sh")
            .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(bench.path("kubectl"))
            .stdin(KUBECTL)
            .run()
            .await
            .unwrap();
        bench.write("nodes.json", &serde_json::to_string(&nodes()).unwrap());
        let stream: String = objects.iter().map(|object| format!("{object:#}\n")).collect();
        bench.write("stream", &stream);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn logged(&self, part: &str) -> usize {
        self.log.borrow().iter().filter(|line| line.contains(part)).count()
    }

    /// Serves until `done`, or fails after ten seconds.
    async fn serve(&self, done: impl Fn() -> bool) -> Result<()> {
        let ms = Duration::from_millis;
        let log = |line: &str| self.log.borrow_mut().push(line.to_owned());
        self.write("admin.conf", "");
        let mut approver = Approver::new(
            self.path("nodes.json"),
            self.path("kubectl"),
            self.path("admin.conf"),
            log,
        );
        approver.pace = Pace {
            table: ms(20),
            first: ms(10),
            longest: ms(40),
            renew: ms(60_000),
            approval: ms(5000),
        };
        let stop = async {
            while !done() {
                tokio::time::sleep(ms(10)).await;
            }
        };
        let served = tokio::time::timeout(ms(10_000), approver.serve(stop)).await;
        served.unwrap_or_else(|_| panic!("nothing happened: {:?}", self.log.borrow()))
    }
}

fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = name.into();
    object
}

#[tokio::test]
async fn the_good_are_approved_and_the_bad_logged_once_though_the_watch_breaks() {
    let bench = Bench::new(&[
        named(with("/spec/username", "\u{1b}mallory"), "bad"),
        named(good(), "csr-1"),
        named(with("/status/conditions", json!([{"type": "Approved"}])), "old"),
        json!({"spec": 5}),
        named(good(), "csr-2"),
    ])
    .await;
    bench.serve(|| bench.lines("watches").len() >= 3).await.unwrap();
    assert_eq!(bench.lines("approved")[..4], ["csr-1", "csr-2", "csr-1", "csr-2"]);
    assert_eq!(bench.logged("not approved: bad: `\\u{1b}mallory` is no node"), 1);
    assert_eq!(bench.logged("kubectl printed what is no request"), 1);
    assert!(bench.logged("approved: csr-1 of system:node:w-1") >= 2);
    assert!(bench.logged("the watch ended, next in 0 s: boom") >= 2);
}

#[tokio::test]
async fn a_changed_table_is_used_and_an_invalid_one_is_not() {
    let mut other = good();
    other["spec"]["username"] = "system:node:w-2".into();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "system:nodes");
    name.push(DnType::CommonName, "system:node:w-2");
    other["spec"]["request"] = BASE64.encode(pkcs10(name, vec![dns("w-2")])).into();
    let bench = Bench::new(&[named(other, "csr-w-2")]).await;
    bench.write("hold", "");
    let step = std::cell::Cell::new(0);
    bench
        .serve(|| {
            match step.get() {
                0 if bench.logged("not approved") == 1 => bench.write("nodes.json", "{"),
                1 if bench.logged("keeping the table") == 1 => {
                    bench.write("nodes.json", r#"{"w-2": []}"#);
                }
                _ => return !bench.lines("approved").is_empty(),
            }
            step.set(step.get() + 1);
            false
        })
        .await
        .unwrap();
    assert_eq!(bench.lines("approved"), ["csr-w-2"]);
    assert_eq!(bench.lines("watches").len(), 2);
}

#[tokio::test]
async fn stopping_ends_kubectl() {
    let bench = Bench::new(&[]).await;
    bench.write("hold", "");
    bench.serve(|| !bench.lines("watches").is_empty()).await.unwrap();
    let stat = format!("/proc/{}/stat", bench.lines("watches")[0]);
    let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    for _ in 0..200 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("kubectl still runs");
}

#[tokio::test]
async fn a_failed_approval_is_tried_again_while_the_watch_stands() {
    let bench = Bench::new(&[good()]).await;
    bench.write("hold", "");
    bench.write("refuse", "");
    bench.serve(|| bench.lines("approved").len() >= 2).await.unwrap();
    assert!(bench.logged("exited 1; conflict") >= 1, "{:?}", bench.log.borrow());
    assert_eq!(bench.logged("the watch ended"), 0);
}

#[tokio::test]
async fn a_request_that_is_too_large_keeps_nobody_else_from_a_certificate() {
    let bench = Bench::new(&[with("/spec/request", "A".repeat(1 << 20)), good()]).await;
    bench.serve(|| bench.lines("watches").len() >= 3).await.unwrap();
    assert!(bench.lines("approved").len() >= 2);
    assert_eq!(bench.logged("too large"), 1);
}

#[tokio::test]
async fn a_missing_kubectl_is_waited_for() {
    let bench = Bench::new(&[]).await;
    std::fs::remove_file(bench.path("kubectl")).unwrap();
    bench.serve(|| bench.logged("cannot run") >= 2).await.unwrap();
}

#[tokio::test]
async fn without_a_valid_table_it_does_not_start() {
    let bench = Bench::new(&[]).await;
    for text in ["", "[]", r#"{"cp-1": "10.0.0.1"}"#, r#"{"cp-1": ["no"]}"#, &" ".repeat(2 << 20)] {
        bench.write("nodes.json", text);
        let error = bench.serve(|| false).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Machine);
    }
    std::fs::remove_file(bench.path("nodes.json")).unwrap();
    assert!(bench.serve(|| false).await.is_err());
}

/// A request to become `w-1`, with a token.
fn join() -> Value {
    super::client::asks(&pkcs10(subject(), Vec::new()))
}

fn described(names: &str) -> String {
    BASE64.encode(format!("{}{names}", crate::approver::client::JOINS_OF))
}

#[tokio::test]
async fn a_joining_node_is_let_in() {
    let bench = Bench::new(&[join()]).await;
    bench.write("description", &described("cp-2 w-1"));
    bench.write("ready", "Unknown");
    bench.serve(|| !bench.lines("approved").is_empty()).await.unwrap();
    assert_eq!(bench.lines("approved"), ["csr-8xv2k"]);
}

#[tokio::test]
async fn who_has_a_token_becomes_no_member_and_nobody_without_it() {
    // The run lets others join; a token that is gone; a member that lives.
    for (description, ready, why) in [
        (described("cp-2"), "", "`w-1` is not joining now"),
        (String::new(), "", "is none of slipway's"),
        (described("w-1"), "True", "`w-1` is a member"),
    ] {
        let bench = Bench::new(&[join()]).await;
        bench.write("description", &description);
        bench.write("ready", ready);
        bench.serve(|| bench.lines("watches").len() >= 3).await.unwrap();
        assert!(bench.lines("approved").is_empty(), "{why}");
        assert_eq!(bench.logged(why), 1, "{:?}", bench.log.borrow());
    }
}

#[tokio::test]
async fn a_kubelet_that_has_ended_keeps_its_successor_waiting_not_for_long() {
    let bench = Bench::new(&[join()]).await;
    bench.write("hold", "");
    bench.write("description", &described("w-1"));
    bench.write("ready", "True");
    bench
        .serve(|| {
            if bench.logged("is a member") == 1 {
                bench.write("ready", "Unknown");
            }
            !bench.lines("approved").is_empty()
        })
        .await
        .unwrap();
    assert!(bench.lines("watches").len() >= 2);
    assert_eq!(bench.logged("the watch ended"), 0);
}
