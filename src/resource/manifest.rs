//! Objects of the cluster.

use base64::Engine as _;
use serde_json::json;

use super::diff::lasting;
use super::{Change, Diff, Drift, Resource, sha256};
use crate::command::{Cmd, Input, Output, admin, api, applied, kubectl};
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
const APPLY_AND_REMEMBER: &str = concat!(admin!(), api!(), applied!(), include_str!("manifest.sh"));

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
mod tests;
