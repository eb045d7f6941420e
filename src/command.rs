//! What runs on a node: commands, the data they read, what came back.
//!
//! A command is a program or a shell text that is fixed in slipway's source, plus words. Each word
//! is data and always arrives as exactly one argument; secrets and file contents travel on standard
//! input. No command line is assembled from strings.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

mod shell;

pub use shell::ADMIN_CONF;
pub(crate) use shell::{
    admin, admin_conf, api, applied, client_certificate, kubectl, serving_certificate,
};

/// How long a command may take unless it says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// A command for a node.
#[derive(Clone)]
pub struct Cmd {
    words: Vec<String>,
    input: Input,
    limit: Duration,
}

/// What a command reads on standard input.
#[derive(Clone, Default)]
pub enum Input {
    /// Nothing: end of file at once.
    #[default]
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes that must not be shown.
    Secret(Secret<Vec<u8>>),
    /// A stream, opened anew for each run; for what does not belong in memory.
    Stream(Arc<dyn Stream>),
}

/// A source of bytes that is too large for memory: a binary, an archive of images.
pub trait Stream: Send + Sync {
    /// Writes all bytes to `out`. Called on a blocking thread.
    ///
    /// # Errors
    /// When reading the source or writing to `out` fails, or when what is read is not what its
    /// digest promised; the last byte is not written then.
    fn copy_to(&self, out: &mut dyn std::io::Write) -> std::io::Result<()>;

    /// How many bytes that will be, for progress.
    fn size(&self) -> u64;
}

impl Cmd {
    /// `program`, found on the node's `PATH`.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        Self { words: vec![program.to_owned()], input: Input::Nothing, limit: TIMEOUT }
    }

    /// A POSIX shell text; the words that follow are its `$1`, `$2`, …
    #[must_use]
    pub fn shell(text: &'static str) -> Self {
        Self::new("sh").arg("-c").arg(text).arg("slipway")
    }

    /// The probes of one look, as one script on standard input. Only [`crate::host`] makes these,
    /// from probes.
    pub(crate) fn script(text: String) -> Self {
        Self::new("sh").arg("-s").stdin(Input::Bytes(text.into_bytes()))
    }

    /// One word.
    #[must_use]
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// Several words.
    #[must_use]
    pub fn args(self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// What it reads.
    #[must_use]
    pub fn stdin(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Its words, the program first.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What it reads.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// How long it may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// One line that a POSIX shell reads back as exactly these words.
    #[must_use]
    pub fn line(&self) -> String {
        self.words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }
}

/// `word` as a POSIX shell reads it back: exactly this, as one word. NUL, which no argument can
/// hold, is left out.
#[must_use]
pub fn quote(word: &str) -> String {
    let word = word.replace('\0', "");
    shlex::try_quote(&word).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

impl fmt::Display for Cmd {
    /// For people: the program and its words, a shell text shortened to its first line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self
            .words
            .iter()
            .filter(|word| *word != "slipway")
            .map(|word| first_line(word))
            .collect();
        f.write_str(&shown.join(" "))
    }
}

fn first_line(word: &str) -> String {
    let mut lines = word.trim().lines();
    match (lines.next(), lines.next()) {
        (Some(first), Some(_)) => format!("{first} …"),
        (Some(first), None) => quote(first),
        (None, _) => "''".to_owned(),
    }
}

impl fmt::Debug for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cmd({self})")
    }
}

impl<T: AsRef<[u8]> + Send + Sync> Stream for T {
    fn copy_to(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        std::io::copy(&mut self.as_ref().take(u64::MAX), out).map(drop)
    }

    fn size(&self) -> u64 {
        self.as_ref().len() as u64
    }
}

/// What a command left behind. Both streams are capped by the transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code; a signal N counts as 128 + N.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it exited 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Standard output as JSON; `null` where it is something else.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_default()
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        #[expect(clippy::disallowed_methods, reason = "asks a real shell")]
        fn a_word_is_one_word_to_a_real_shell(word in "[^\0]{0,40}") {
            let line = Cmd::new("printf").arg("%s").arg(word.clone()).line();
            let out = std::process::Command::new("sh").arg("-c").arg(line).output().unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&out.stdout), word);
        }
    }

    #[test]
    fn shown_commands_are_short_and_hide_their_input() {
        let cmd = Cmd::shell("umask 077\ncat > \"$1\"")
            .arg("/etc/x y")
            .stdin(Input::Secret(Secret::new(b"key".to_vec())));
        assert_eq!(format!("{cmd:?}"), "Cmd(sh -c umask 077 … '/etc/x y')");
    }
}
