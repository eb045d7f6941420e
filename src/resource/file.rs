//! A file on a node: text, secret, or a binary from the bundle.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Change, Diff, Drift, Resource};
use crate::command::{Cmd, Input, Output, Stream};
use crate::diagnostic::{Error, Kind, Result};
use crate::probe::{Probe, TEXT_LIMIT};
use crate::secret::Secret;

/// A regular file with exactly this content, mode and owner.
pub struct File {
    path: String,
    content: Content,
    mode: u32,
    keep: bool,
}

/// What a file holds.
pub enum Content {
    /// Text; a plan shows how it changes.
    Text(String),
    /// Bytes that are never shown.
    Secret(Secret<Vec<u8>>),
    /// Something large, known by its digest (hexadecimal SHA-256).
    Blob {
        /// The digest.
        sha256: String,
        /// Where the bytes come from.
        stream: Arc<dyn Stream>,
    },
}

impl File {
    /// A text file, 0644, root's.
    pub fn text(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), content: Content::Text(text.into()), mode: 0o644, keep: false }
    }

    /// A file that only root may read, 0600, and whose content no plan shows.
    pub fn secret(path: impl Into<String>, bytes: Secret<Vec<u8>>) -> Self {
        Self { path: path.into(), content: Content::Secret(bytes), mode: 0o600, keep: false }
    }

    /// A program, 0755.
    pub fn program(path: impl Into<String>, sha256: &str, stream: Arc<dyn Stream>) -> Self {
        let content = Content::Blob { sha256: sha256.to_owned(), stream };
        Self { path: path.into(), content, mode: 0o755, keep: false }
    }

    /// With another mode.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Once it is there with other content, it is never replaced: that is an error.
    #[must_use]
    pub fn never_replaced(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The content's digest, hexadecimal SHA-256.
    #[must_use]
    pub fn digest(&self) -> String {
        match &self.content {
            Content::Text(text) => sha256(text.as_bytes()),
            Content::Secret(bytes) => sha256(bytes.expose()),
            Content::Blob { sha256, .. } => sha256.clone(),
        }
    }

    pub(super) fn seen(output: &Output) -> Option<Seen> {
        let text = output.text();
        let mut lines = text.splitn(3, '\n');
        let attributes = lines.next()?.to_owned();
        let digest = lines.next()?.split(' ').next()?.to_owned();
        Some(Seen { attributes, digest, text: lines.next().unwrap_or_default().to_owned() })
    }

    fn input(&self) -> Input {
        match &self.content {
            Content::Text(text) => Input::Bytes(text.clone().into_bytes()),
            Content::Secret(bytes) => Input::Secret(bytes.clone()),
            Content::Blob { stream, .. } => Input::Stream(Arc::clone(stream)),
        }
    }
}

/// What a look at a file brought along.
pub(super) struct Seen {
    attributes: String,
    digest: String,
    pub(super) text: String,
}

/// Hexadecimal SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes standard input to `$1` as one step: the old file or the new one is there at any moment,
/// the new one only with the digest `$3`. The temporary file is made by `mktemp` in the same
/// directory (0600, not through links) and goes when anything fails.
const WRITE: &str = r#"set -eu
d=$(dirname -- "$1"); mkdir -p -- "$d"
[ ! -d "$1" ] || { echo "$1 is a directory" >&2; exit 1; }
t=$(mktemp "$d/.slipway.XXXXXX"); trap 'rm -f -- "$t"' EXIT
cat >"$t"
s=$(openssl dgst -sha256 -r <"$t" 2>/dev/null || sha256sum <"$t")
[ "${s%% *}" = "$3" ] || { echo "what arrived has another digest" >&2; exit 1; }
chown root:root "$t"; chmod "$2" "$t"; sync "$t"; mv -fT -- "$t" "$1"; trap - EXIT"#;

impl Resource for File {
    fn id(&self) -> String {
        format!("file {}", self.path)
    }

    fn probe(&self) -> Probe {
        Probe::file(&self.path, matches!(self.content, Content::Text(_)))
    }

    fn compare(&self, output: &Output) -> Result<Drift> {
        let mode = format!("{:o}", self.mode);
        let new = match &self.content {
            Content::Text(text) => text.as_str(),
            Content::Secret(_) | Content::Blob { .. } => "",
        };
        if output.code == 1 {
            let text = (!new.is_empty()).then(|| unified("", new));
            return Ok(Drift::Differs(Diff::create(format!("new, {mode:0>4}")).text(text)));
        }
        let Some(seen) = (output.code == 0).then(|| Self::seen(output)).flatten() else {
            let message = format!("{} is there and is no regular file", self.path);
            return Err(Error::new(Kind::Preflight, message)
                .hint("look at what it is; move it away if nothing needs it"));
        };
        if seen.digest != self.digest() {
            if self.keep {
                let message = format!("{} is there with other content", self.path);
                return Err(Error::new(Kind::Preflight, message)
                    .note("slipway never overwrites another cluster's keys")
                    .hint("if this machine's old cluster is no longer needed, run `kubeadm reset` there"));
            }
            let shown = !new.is_empty() && seen.text.len() < TEXT_LIMIT;
            let text = shown.then(|| unified(&seen.text, new));
            return Ok(Drift::Differs(Diff::update("content").text(text)));
        }
        let wanted = format!("{mode} root:root");
        Ok(Drift::unless(seen.attributes == wanted, format!("{} → {wanted}", seen.attributes)))
    }

    // The command itself compares the digest of what arrived.
    fn self_verifying(&self) -> bool {
        true
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(WRITE)
            .args([self.path.clone(), format!("{:o}", self.mode), self.digest()])
            .stdin(self.input());
        vec![Change::new(format!("write {}", self.path), cmd)]
    }
}

pub(super) fn unified(old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(2).to_string()
}

/// Nothing is at this path.
pub struct Absent(pub &'static str);

impl Resource for Absent {
    fn id(&self) -> String {
        format!("absence of {}", self.0)
    }

    fn probe(&self) -> Probe {
        Probe::exist(&[self.0])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(seen.stdout.is_empty(), Diff::delete("remove")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        vec![Change::new(format!("remove {}", self.0), Cmd::new("rm").args(["-f", "--", self.0]))]
    }
}

/// A directory, 0755, root's.
pub struct Directory(pub &'static str);

impl Resource for Directory {
    fn id(&self) -> String {
        format!("directory {}", self.0)
    }

    fn probe(&self) -> Probe {
        Probe::exist(&[self.0])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(!seen.stdout.is_empty(), Diff::create("new")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::new("mkdir").args(["-p", "--", self.0]);
        vec![Change::new(format!("make {}", self.0), cmd)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(attributes: &str, text: &str) -> Output {
        let stdout = format!("{attributes}\n{}  -\n{text}", sha256(text.as_bytes()));
        Output { code: 0, stdout: stdout.into_bytes(), stderr: Vec::new() }
    }

    #[test]
    fn same_content_and_attributes_is_no_drift() {
        let file = File::text("/etc/x", "a\n");
        assert_eq!(file.compare(&seen("644 root:root", "a\n")).unwrap(), Drift::None);
    }

    #[test]
    fn a_differing_text_is_shown_as_a_diff() {
        let drift = File::text("/etc/x", "a\nb\n").compare(&seen("644 root:root", "a\n")).unwrap();
        let Drift::Differs(diff) = drift else { panic!("{drift:?}") };
        assert!(diff.text.unwrap().contains("+b"));
    }

    #[test]
    fn mode_alone_is_a_drift() {
        let drift = File::text("/etc/x", "a\n").compare(&seen("666 root:root", "a\n")).unwrap();
        assert_eq!(drift, Drift::differs("666 root:root → 644 root:root"));
    }

    #[test]
    fn a_secret_is_never_in_a_diff_or_a_command() {
        let file = File::secret("/k", Secret::new(b"CANARY".to_vec()));
        let drift = file.compare(&seen("600 root:root", "old")).unwrap();
        let shown = format!("{drift:?} {:?}", file.converge(&Output::default()));
        assert!(!shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn a_key_of_another_cluster_is_not_overwritten() {
        let file = File::secret("/k", Secret::new(b"ours".to_vec())).never_replaced();
        assert!(file.compare(&seen("600 root:root", "theirs")).is_err());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "runs the real shell text")]
    fn writing_is_all_or_nothing() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x").to_str().unwrap().to_owned();
        let run = |digest: &str, data: &str| {
            let mut child = std::process::Command::new("sh")
                .args(["-c", WRITE, "slipway", &path, "640", digest])
                .stdin(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(data.as_bytes()).unwrap();
            child.wait().unwrap().success()
        };
        assert!(run(&sha256(b"one"), "one"));
        assert!(!run(&sha256(b"two"), "tw"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(std::fs::read_dir(dir.path().join("sub")).unwrap().count(), 1);
    }
}
