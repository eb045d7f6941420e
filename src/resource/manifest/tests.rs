//! What was applied is not asked for again until somebody touches it.

use std::collections::BTreeMap;
use std::fs::{self, read_to_string, write};
use std::path::{Path, PathBuf};

use super::*;

/// As many as are asked for: of each the object that is there, and the status of HTTP.
const CURL: &str = r#"#!/bin/sh
echo state >>asked
for word; do
  case $word in */api/* | */apis/*) cat "api/${word##*/}" 2>/dev/null && code=200 || code=404; printf '\n%s.0\n' $code ;; esac
done
"#;

const KUBECTL: &str = r#"#!/bin/sh
cat >/dev/null
while [ "$1" != get ] && [ "$1" != apply ] && [ "$1" != diff ]; do shift; done
echo $1 >>asked
case $1 in
  apply) cat applies ;;
  get) cat now 2>/dev/null || cat applies ;;
esac
"#;

/// A control plane, whose tools say what is in files.
struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self { dir: tempfile::tempdir().unwrap() };
        for (name, program) in [("curl", CURL), ("kubectl", KUBECTL)] {
            node.file(name, program);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(node.path(name), mode).unwrap();
        }
        node.file(
            "applies",
            "v1 ConfigMap kube-system a uid 1\napps/v1 Deployment kube-system d uid 1\n\
             apiregistration.k8s.io/v1 APIService - s uid 1\n",
        );
        fs::create_dir(node.path("api")).unwrap();
        for (name, text) in objects() {
            node.file(&format!("api/{name}"), &text);
        }
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        write(self.path(name), text).unwrap();
    }

    /// Whether the text ends well, and what it asked for: `apply`, `get` and `diff` of kubectl, `state` of the API.
    #[expect(clippy::disallowed_methods, reason = "asks a real shell")]
    fn shell(&self, text: &str, words: &[&str]) -> (bool, String) {
        use std::process::{Command, Stdio};
        let _ = fs::remove_file(self.path("asked"));
        let dir = self.dir.path();
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
        let text = text.replace("/var/lib/slipway/applied", "applied");
        let text = text.replace("/run/slipway-api", "./api-");
        let mut command = Command::new("sh");
        command.args(["-c", &text, "sh"]).args(words).current_dir(dir).env("PATH", path);
        let ok = command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success();
        (ok, read_to_string(self.path("asked")).unwrap_or_default().trim().replace('\n', " "))
    }

    fn apply(&self) -> (bool, String) {
        self.shell(APPLY_AND_REMEMBER, &["a's name", "digest"])
    }

    fn look(&self, digest: &str) -> String {
        let probe = Probe::manifest("a's name", digest, "");
        let text = format!("{}{}", probe.first().unwrap(), probe.text());
        let (ok, asked) = self.shell(&text, &["a's name", digest]);
        assert!(ok);
        asked
    }
}

fn objects() -> BTreeMap<&'static str, String> {
    let managers = r#""managedFields":[{"manager":"slipway","fieldsV1":{"f:a":{}}},{"manager":"kubelet","time":"1"}]"#;
    let object = |metadata: &str, rest: &str| {
        format!(
            r#"{{"kind":"K","metadata":{{"uid":"u","resourceVersion":"7",{metadata},{managers}}}{rest}}}"#
        )
    };
    BTreeMap::from([
        ("a", object(r#""labels":{"l":"1"},"annotations":{"n":"1"}"#, "")),
        ("d", object(r#""generation":3,"annotations":{"n":"a \"},{"}"#, "")),
        ("s", object(r#""labels":{"l":"1"}"#, r#","spec":{"port":443},"status":{"ready":true}"#)),
    ])
}

#[test]
fn what_was_applied_is_asked_for_once_and_not_compared() {
    let node = Node::new();
    assert_eq!(node.look("digest"), "diff", "it was never applied");
    assert_eq!(node.apply(), (true, "apply state state get".to_owned()));
    assert_eq!(node.look("digest"), "state state");
    assert_eq!(node.look("another"), "state state diff", "another manifest is meant");
}

/// What controllers write all the time is no change.
#[test]
fn an_object_that_somebody_touched_is_compared() {
    let touched = |name: &str, from: &str, to: &str| {
        let node = Node::new();
        assert!(node.apply().0);
        let text = objects().remove(name).unwrap();
        assert!(text.contains(from), "{text}");
        node.file(&format!("api/{name}"), &text.replace(from, to));
        node.look("digest") != "state state"
    };
    for (name, from, to) in [
        ("a", "\"u\"", "\"v\""),
        ("a", "\"7\"", "\"8\""),
        ("a", r#"{"l":"1"}"#, r#"{"l":"2"}"#),
        ("a", r#"{"n":"1"}"#, r#"{"n":"2"}"#),
        ("a", "f:a", "f:b"),
        ("d", "\"generation\":3", "\"generation\":4"),
        ("d", "f:a", "f:b"),
        ("s", "443", "444"),
        ("s", r#"{"l":"1"}"#, r#"{"l":"2"}"#),
    ] {
        assert!(touched(name, from, to), "{name}: {from} became {to}");
    }
    for (name, from, to) in [
        ("d", "\"7\"", "\"8\""),
        ("d", "a \\\"},{", "b \\\"}]"),
        ("d", r#""time":"1""#, r#""time":"2""#),
        ("s", "\"7\"", "\"8\""),
        ("s", "true", "false"),
    ] {
        assert!(!touched(name, from, to), "{name}: {from} became {to}");
    }
    let node = Node::new();
    assert!(node.apply().0);
    fs::remove_file(node.path("api/d")).unwrap();
    assert_eq!(node.look("digest"), "state state diff", "one is gone");
}

#[test]
fn what_is_not_whole_or_not_sure_is_not_remembered() {
    let memory = "applied/a's name";
    let node = Node::new();
    assert!(node.apply().0);
    let whole = read_to_string(node.path(memory)).unwrap();
    // Cut by a power cut, at the end of a line.
    let cut: String = whole.lines().take(2).map(|line| format!("{line}\n")).collect();
    node.file(memory, &cut);
    assert_eq!(node.look("digest"), "state diff");

    // An apply that fails remembers nothing, and lets nothing be forgotten.
    node.file(memory, &whole);
    let applies = read_to_string(node.path("applies")).unwrap();
    fs::remove_file(node.path("applies")).unwrap();
    assert!(!node.apply().0);
    assert_eq!(read_to_string(node.path(memory)).unwrap(), whole);

    // Somebody touched an object before its state was read; one is not found by its kind's name.
    fs::remove_file(node.path(memory)).unwrap();
    node.file("applies", &applies);
    node.file("now", &applies.replace("uid 1", "uid 2"));
    assert!(node.apply().0);
    fs::remove_file(node.path("now")).unwrap();
    fs::remove_file(node.path("api/a")).unwrap();
    assert!(node.apply().0);
    assert_eq!(entries(&node.path("applied")), Vec::<String>::new());
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
