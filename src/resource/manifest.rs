//! Objects of the cluster.

use base64::Engine as _;
use serde_json::json;

use super::diff::lasting;
use super::{Change, Diff, Drift, Resource, sha256};
use crate::command::{Cmd, Input, Output, admin, applied, kubectl};
use crate::diagnostic::Result;
use crate::pki::Leaf;
use crate::probe::Probe;
use crate::secret::Secret;

/// Objects that the cluster must hold, by server-side apply. What differs is asked of the API
/// server itself (a dry run), which knows its own defaults; unless nobody has touched what was applied.
pub struct Manifest {
    /// Names it in plans.
    pub name: &'static str,
    /// YAML or JSON documents, without secrets.
    pub text: String,
}

pub(crate) const APPLY: &str = concat!(
    kubectl!(),
    " apply --server-side \
                     --force-conflicts --field-manager=slipway -f -"
);

/// [`APPLY`] of manifest `$1` with digest `$2`, which is remembered.
const APPLY_AND_REMEMBER: &str = concat!(admin!(), applied!(), include_str!("manifest.sh"));

/// Applies what must not be shown, not even in an error.
pub(super) const APPLY_SECRET: &str = concat!(
    kubectl!(),
    " apply --server-side --force-conflicts \
     --field-manager=slipway -f - >/dev/null 2>&1"
);

impl Resource for Manifest {
    fn id(&self) -> String {
        format!("manifest {}", self.name)
    }

    fn probe(&self) -> Probe {
        Probe::manifest(self.name, &sha256(self.text.as_bytes()), &self.text)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(match seen.code {
            0 => Drift::None,
            1 if seen.stdout.starts_with(b"diff ") => {
                let text = lasting(&seen.text());
                let objects = text.lines().filter(|line| line.starts_with("diff ")).count();
                Drift::Differs(Diff::update(format!("{objects} objects")).text(Some(text)))
            }
            _ => Drift::differs("apply"),
        })
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(APPLY_AND_REMEMBER)
            .args([self.name, &sha256(self.text.as_bytes())])
            .stdin(Input::Bytes(self.text.clone().into_bytes()));
        vec![Change::new(format!("apply {}", self.name), cmd).repeatable()]
    }

    // The API server itself answers that it holds what was sent.
    fn self_verifying(&self) -> bool {
        true
    }
}

/// A Secret of type `kubernetes.io/tls` in `kube-system`, made once and again a month before its
/// certificate ends.
pub struct ServerKey {
    /// The Secret's name.
    pub name: &'static str,
    /// What goes into a new one.
    pub leaf: Leaf,
}

impl Resource for ServerKey {
    fn id(&self) -> String {
        format!("server key {}", self.name)
    }

    fn probe(&self) -> Probe {
        Probe::server_certificate(self.name)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(seen.ok(), Diff::create("new, for a year")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": self.name, "namespace": "kube-system"},
            "data": {
                "tls.crt": encode(&self.leaf.certificate),
                "tls.key": encode(self.leaf.key.expose()),
            },
        });
        let object = Secret::new(object.to_string().into_bytes());
        let cmd = Cmd::shell(APPLY_SECRET).stdin(Input::Secret(object));
        vec![Change::new(format!("make the key {}", self.name), cmd).repeatable()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a manifest's probe says, and what the commands were that it gave to kubectl, which says of the cluster's
    /// objects what is in the file `objects`.
    #[expect(clippy::disallowed_methods, reason = "asks a real shell")]
    fn shell(dir: &std::path::Path, text: &str, words: &[&str]) -> (bool, String) {
        use std::process::{Command, Stdio};
        let kubectl = "#!/bin/sh\ncat >/dev/null\nwhile [ \"$1\" != get ] && [ \"$1\" != apply ] && [ \"$1\" != diff ]; do shift; done\n\
            echo $1 >>asked\n[ $1 = diff ] || cat objects\n";
        let program = dir.join("kubectl");
        std::fs::write(&program, kubectl).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let _ = std::fs::remove_file(dir.join("asked"));
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
        let text = text.replace("/var/lib/slipway/applied", "applied");
        let mut command = Command::new("sh");
        command.args(["-c", &text, "sh"]).args(words).current_dir(dir).env("PATH", path);
        let ok = command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success();
        (ok, std::fs::read_to_string(dir.join("asked")).unwrap_or_default().replace('\n', " "))
    }

    #[test]
    fn what_was_applied_is_not_asked_for_again_until_somebody_touches_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let cluster = |objects: &str| std::fs::write(dir.join("objects"), objects).unwrap();
        let probe = Probe::manifest("a's name", "digest", "");
        let look = |digest: &str| {
            shell(
                dir,
                &format!("{}{}", probe.first().unwrap(), probe.text()),
                &["a's name", digest],
            )
        };
        let apply = || shell(dir, APPLY_AND_REMEMBER, &["a's name", "digest"]);
        let one = "v1 ConfigMap kube-system a uid 1 map[manager:slipway]\n";
        let two = "v1 ServiceAccount - b uid 2\n";

        cluster(&format!("{one}{two}"));
        assert_eq!(look("digest"), (true, "get diff ".to_owned()), "it was never applied");
        assert_eq!(apply(), (true, "apply ".to_owned()));
        assert_eq!(look("digest"), (true, "get ".to_owned()));
        cluster(&format!("v1 Secret - other uid 3\n{two}{one}"));
        assert_eq!(look("digest"), (true, "get ".to_owned()), "others are there, too");
        assert_eq!(look("another"), (true, "get diff ".to_owned()), "another manifest is meant");
        let other = two.replace("uid 2", "uid 3");
        for touched in
            [one.to_owned(), format!("{one}{one}"), format!("{one}{other}"), String::new()]
        {
            cluster(&touched);
            assert_eq!(look("digest"), (true, "get diff ".to_owned()), "{touched}");
        }
        cluster(&format!("{one}{two}"));
        let memory = dir.join("applied/a's name");
        let whole = std::fs::read_to_string(&memory).unwrap();
        // Cut by a power cut, at the end of a line.
        std::fs::write(
            &memory,
            whole.lines().take(2).map(|line| format!("{line}\n")).collect::<String>(),
        )
        .unwrap();
        assert_eq!(look("digest"), (true, "get diff ".to_owned()));
        // An apply that fails remembers nothing, and lets nothing be forgotten.
        std::fs::write(&memory, &whole).unwrap();
        std::fs::remove_file(dir.join("objects")).unwrap();
        assert!(!apply().0);
        assert_eq!(std::fs::read_to_string(&memory).unwrap(), whole);
        assert_eq!(
            std::fs::read_dir(dir.join("applied")).unwrap().count(),
            1,
            "nothing is left over"
        );
    }
}
