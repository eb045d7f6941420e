//! A file on a node: text, secret, or a binary from the bundle.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Change, Diff, Drift, Resource};
use crate::command::{Cmd, Input, Output, Stream};
use crate::diagnostic::{Error, Kind, Result};
use crate::probe::{DIGESTS, FILE_STATE, Probe, TEXT_LIMIT};
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

    /// Whether a look brings its text along, so that a plan can show how that changes.
    fn brings_text(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text.len() < TEXT_LIMIT)
    }

    /// A look's answer: mode and owner, then the text or its digest.
    pub(super) fn seen(output: &Output) -> Option<(String, &[u8])> {
        let end = output.stdout.iter().position(|byte| *byte == b'\n')?;
        let (attributes, rest) = output.stdout.split_at(end);
        Some((String::from_utf8_lossy(attributes).into_owned(), rest.get(1..).unwrap_or_default()))
    }

    /// Whether what a look brought is the desired content.
    fn has(&self, brought: &[u8]) -> bool {
        match &self.content {
            Content::Text(text) if self.brings_text() => text.as_bytes() == brought,
            _ => brought.split(u8::is_ascii_whitespace).next() == Some(self.digest().as_bytes()),
        }
    }

    fn input(&self) -> Input {
        match &self.content {
            Content::Text(text) => Input::Bytes(text.clone().into_bytes()),
            Content::Secret(bytes) => Input::Secret(bytes.clone()),
            Content::Blob { stream, .. } => Input::Stream(Arc::clone(stream)),
        }
    }
}

/// How [`Probe::file`] says that the content is the desired one.
const AS_WANTED: i32 = 3;

/// Hexadecimal SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes standard input to `$1` as one step: the old file or the new one is there at any moment,
/// the new one only with the digest `$3`. The temporary file is made by `mktemp` in the same
/// directory (0600, not through links) and goes when anything fails. The digest is remembered at `$4`,
/// unless that is empty, together with who the file is then (`$5`, for `stat`).
const WRITE: &str = r#"set -eu
d=$(dirname -- "$1"); mkdir -p -- "$d"
[ ! -d "$1" ] || { echo "$1 is a directory" >&2; exit 1; }
t=$(mktemp "$d/.slipway.XXXXXX"); trap 'rm -f -- "$t"' EXIT
cat >"$t"
s=$(openssl dgst -sha256 -r <"$t" 2>/dev/null || sha256sum <"$t")
[ "${s%% *}" = "$3" ] || { echo "what arrived has another digest" >&2; exit 1; }
chown root:root "$t"; chmod "$2" "$t"; sync "$t"; mv -fT -- "$t" "$1"; trap - EXIT
[ -n "$4" ] || exit 0
mkdir -p -- "${4%/*}"; echo "$(stat -c "$5" "$1") $3" >"$4""#;

impl Resource for File {
    fn id(&self) -> String {
        format!("file {}", self.path)
    }

    fn probe(&self) -> Probe {
        // A digest of what is secret stays here.
        let wanted = self.brings_text().then(|| self.digest());
        Probe::file(&self.path, self.brings_text(), wanted.as_deref())
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
        let there = output.code == 0 || output.code == AS_WANTED;
        let Some((attributes, brought)) = there.then(|| Self::seen(output)).flatten() else {
            let message = format!("{} is there and is no regular file", self.path);
            return Err(Error::new(Kind::Preflight, message)
                .hint("look at what it is; move it away if nothing needs it"));
        };
        if output.code != AS_WANTED && !self.has(brought) {
            if self.keep {
                let message = format!("{} is there with other content", self.path);
                return Err(Error::new(Kind::Preflight, message)
                    .note("slipway never overwrites another cluster's keys")
                    .hint("if this machine's old cluster is no longer needed, run `kubeadm reset` there"));
            }
            let shown = self.brings_text() && brought.len() < TEXT_LIMIT;
            let text = shown.then(|| unified(&String::from_utf8_lossy(brought), new));
            return Ok(Drift::Differs(Diff::update("content").text(text)));
        }
        let wanted = format!("{mode} root:root");
        Ok(Drift::unless(attributes == wanted, format!("{attributes} → {wanted}")))
    }

    // The command itself compares the digest of what arrived.
    fn self_verifying(&self) -> bool {
        true
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let memory = match &self.content {
            Content::Blob { .. } => format!("{DIGESTS}{}", self.path),
            Content::Text(_) | Content::Secret(_) => String::new(),
        };
        let cmd = Cmd::shell(WRITE)
            .args([self.path.clone(), format!("{:o}", self.mode), self.digest()])
            .args([memory.as_str(), FILE_STATE])
            .stdin(self.input());
        vec![Change::new(format!("write {}", self.path), cmd)]
    }
}

/// How `old` becomes `new`, as hunks of a unified diff with two lines of context.
pub(super) fn unified(old: &str, new: &str) -> String {
    let patch = diffy::DiffOptions::new().set_context_len(2).create_patch(old, new).to_string();
    // Its first two lines would name two files.
    patch.splitn(3, '\n').nth(2).unwrap_or_default().to_owned()
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

    fn seen(attributes: &str, brought: &str) -> Output {
        Output { stdout: format!("{attributes}\n{brought}").into_bytes(), ..Output::default() }
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
        let drift = file.compare(&seen("600 root:root", &sha256(b"old"))).unwrap();
        let shown = format!("{drift:?} {:?}", file.converge(&Output::default()));
        assert!(!shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn a_key_of_another_cluster_is_not_overwritten() {
        let file = File::secret("/k", Secret::new(b"ours".to_vec())).never_replaced();
        assert!(file.compare(&seen("600 root:root", &sha256(b"theirs"))).is_err());
        assert!(file.compare(&seen("600 root:root", &sha256(b"ours"))).is_ok());
    }

    #[expect(clippy::disallowed_methods, reason = "runs the real shell text")]
    fn shell(text: &str, words: &[&str], input: &str) -> (bool, String) {
        use std::io::Write as _;
        let mut child = std::process::Command::new("sh")
            .args(["-c", text, "slipway"])
            .args(words)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn writing_is_all_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x").to_str().unwrap().to_owned();
        let run = |digest: &str, data: &str| {
            shell(WRITE, &[&path, "640", digest, "", FILE_STATE], data).0
        };
        assert!(run(&sha256(b"one"), "one"));
        assert!(!run(&sha256(b"two"), "tw"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(std::fs::read_dir(dir.path().join("sub")).unwrap().count(), 1);
    }

    /// A digest is remembered when a file is written, and never believed of a file that was touched since,
    /// even if that one has its size, its inode and its time.
    #[test]
    fn a_remembered_digest_is_of_an_untouched_file() {
        use std::fs::{File, write};
        let dir = tempfile::tempdir().unwrap();
        let name = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (path, memories) = (name("program"), name("digests"));
        let memory = format!("{memories}{path}");
        let probe = Probe::file("", false, None);
        let text = [probe.first().unwrap(), probe.text()].concat();
        let look = || {
            let (_, said) = shell(&text, &[&path, "0", &memories, ""], "");
            said.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned()
        };
        // Smaller ones are hashed each time.
        let [one, two] = ["one", "two"].map(|word| word.repeat(1 << 19));
        let digest = sha256(one.as_bytes());
        assert!(shell(WRITE, &[&path, "755", &digest, &memory, FILE_STATE], &one).0);
        assert_eq!(look(), digest);

        let remembered = std::fs::read_to_string(&memory).unwrap();
        write(&memory, remembered.replace(&digest, "believed")).unwrap();
        assert_eq!(look(), "believed", "it was hashed although nobody touched it");

        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        write(&path, &two).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        assert_eq!(look(), sha256(two.as_bytes()));

        write(&memory, "torn").unwrap();
        assert_eq!(look(), sha256(two.as_bytes()));
    }
}
