//! Commands on this machine: the only module that starts a local process.
//!
//! Used by what works here rather than on a node: the lab, the bundle, the bench. A failed command
//! becomes an [`Error`] that shows the command and the last lines it printed.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::diagnostic::{Error, Kind, Result, last_lines};

/// A local command under construction. It is ended with its [`Process`] future (kill on drop).
#[derive(Debug)]
pub struct Process {
    shown: String,
    inner: tokio::process::Command,
    stdin: Option<Vec<u8>>,
}

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit code; a signal N counts as 128 + N.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Standard output as text, trailing white space removed.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

impl Process {
    /// `program`, looked up on `PATH`. Data never chooses the program.
    pub fn new(program: &'static str) -> Self {
        Self::of(OsStr::new(program))
    }

    /// A program at a path, for binaries that slipway itself built or verified.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self::of(path.as_os_str())
    }

    #[expect(clippy::disallowed_methods, reason = "the one place")]
    fn of(program: &OsStr) -> Self {
        let mut inner = tokio::process::Command::new(program);
        inner.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self { shown: program.to_string_lossy().into_owned(), inner, stdin: None }
    }

    /// One word.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        let arg = arg.into();
        self.shown = format!("{} {}", self.shown, arg.to_string_lossy());
        self.inner.arg(arg);
        self
    }

    /// Several words.
    #[must_use]
    pub fn args(self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// The working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// What the command reads.
    #[must_use]
    pub fn stdin(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(data.into());
        self.inner.stdin(Stdio::piped());
        self
    }

    /// Runs to the end; any exit code is a result.
    ///
    /// # Errors
    /// [`Kind::Machine`] when the program cannot be started.
    pub async fn output(mut self) -> Result<Finished> {
        let shown = self.shown;
        tracing::debug!(command = %shown, "local command");
        let mut child = self.inner.spawn().map_err(|e| cannot_start(&shown, &e))?;
        let feed = child.stdin.take().zip(self.stdin.take());
        let feeding = async {
            if let Some((mut pipe, data)) = feed {
                // A command that exits without reading everything is judged by its exit code.
                let _ = pipe.write_all(&data).await;
            }
        };
        let (out, ()) = tokio::join!(child.wait_with_output(), feeding);
        let out = out.map_err(|e| cannot_start(&shown, &e))?;
        Ok(Finished { code: code(out.status), stdout: out.stdout, stderr: out.stderr })
    }

    /// Runs to the end and expects exit code 0.
    ///
    /// # Errors
    /// As [`Process::output`]; [`Kind::Command`] for another exit code.
    pub async fn run(self) -> Result<Finished> {
        let shown = self.shown.clone();
        let done = self.output().await?;
        if done.code == 0 {
            return Ok(done);
        }
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        let text = if text.trim().is_empty() { done.text() } else { text };
        Err(Error::new(Kind::Command, format!("`{shown}` exited {}", done.code))
            .note(last_lines(&text, 15)))
    }

    /// Runs with this process's own terminal (an interactive `ssh`, say); gives the exit code.
    ///
    /// # Errors
    /// [`Kind::Machine`] when the program cannot be started.
    pub async fn interactive(mut self) -> Result<i32> {
        self.inner.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let status = self.inner.status().await.map_err(|e| cannot_start(&self.shown, &e))?;
        Ok(code(status))
    }

    /// Hands over the configured command, for a caller that manages the child itself.
    #[must_use]
    pub fn into_inner(self) -> tokio::process::Command {
        self.inner
    }
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn cannot_start(shown: &str, e: &std::io::Error) -> Error {
    let program = shown.split_whitespace().next().unwrap_or(shown);
    Error::new(Kind::Machine, format!("cannot run `{program}`: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_shows_the_command_and_what_it_printed() {
        let error =
            Process::new("sh").args(["-c", "echo why >&2; exit 3"]).run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Command);
        let shown = error.to_string();
        assert!(shown.contains("exited 3") && shown.contains("why"), "{shown}");
    }

    #[tokio::test]
    async fn stdin_arrives_and_stdout_comes_back() {
        let done = Process::new("cat").stdin("x\n").run().await.unwrap();
        assert_eq!(done.text(), "x");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = Process::new("slipway-no-such-program").run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Machine);
        assert!(error.message().contains("`slipway-no-such-program`"));
    }
}
