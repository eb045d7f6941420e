//! What the end-to-end tests stand on: commands, waits with limits, figures, one test at a time.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub mod balancer;
pub mod bare;
pub mod change;
pub mod client;
pub mod drift;
pub mod hub;
pub mod kube;
pub mod kubelets;
pub mod lab;
pub mod maintenance;
pub mod odd;
pub mod pods;
pub mod power;
pub mod removal;
pub mod rerun;
pub mod secrets;
pub mod snapshot;
pub mod upgrade;

/// The version that most tests install.
pub const KUBERNETES: &str = slipway::bundle::LATEST;

/// Exit codes of slipway that the tests expect; the README has them all.
pub const CHANGES: i32 = 2;
pub const CONNECTION: i32 = 66;
pub const PREFLIGHT: i32 = 67;
pub const TIMEOUT: i32 = 69;
pub const OUTDATED: i32 = 73;

/// What a command left.
#[derive(Debug, Clone)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Standard output of a command that must have worked.
    #[track_caller]
    pub fn ok(self, what: &str) -> String {
        assert_eq!(self.code, 0, "{what} failed:\n{}", self.both());
        self.stdout
    }

    /// Standard output of a command that worked, or all that it printed.
    pub fn tried(self) -> Result<String, String> {
        if self.code == 0 { Ok(self.stdout) } else { Err(self.both()) }
    }

    /// Both streams, of long ones the end.
    pub fn both(&self) -> String {
        let all = format!("{}\n{}", self.stdout.trim_end(), self.stderr.trim_end());
        let lines: Vec<&str> = all.trim().lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

/// Runs a command without a terminal; `input` is what it reads.
pub fn run(program: impl AsRef<Path>, args: &[&str], input: &str) -> Ran {
    let program = program.as_ref();
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", program.display()));
    // Inputs are small: they fit the pipe, also when nobody reads them.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Tries until it works; panics with the last failure after `limit`. Gives what came, and the time.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    attempt: impl FnMut() -> Result<T, String>,
) -> (T, Duration) {
    let began = Instant::now();
    match soon(limit, attempt) {
        Ok(value) => (value, began.elapsed()),
        Err(last) => panic!("timed out after {} s waiting until {what}:\n{last}", limit.as_secs()),
    }
}

fn soon<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let end = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() > end => return Err(last),
            Err(_) => pause(Duration::from_millis(500)),
        }
    }
}

/// Between two looks at a condition.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

thread_local! {
    /// The parts that this thread is in, outermost first.
    static PARTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Does a part of a test, which gets a line in the table of times at the end of `make test`.
pub fn part<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let name = PARTS.with_borrow_mut(|parts| {
        parts.push(name.to_owned());
        parts.join(" / ")
    });
    println!("--- {name}");
    let _timed = Timed { name, mark: timed(&["--begin"]) };
    work()
}

/// A part that goes on; it ends when this is dropped, and failed if that is by a panic.
struct Timed {
    name: String,
    mark: String,
}

impl Drop for Timed {
    fn drop(&mut self) {
        PARTS.with_borrow_mut(Vec::pop);
        let result = if std::thread::panicking() { "failed" } else { "ok" };
        timed(&["--end", &self.mark, &self.name, result]);
    }
}

fn timed(args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/timed");
    run(script, args, "").stdout.trim().to_owned()
}

/// Prints a measured figure, and keeps it in `target/figures.txt`.
pub fn figure(what: &str, value: impl std::fmt::Display) {
    println!("figure: {what}: {value}");
    let path = target().join("figures.txt");
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "{} {what}: {value}", jiff::Timestamp::now().strftime("%F %T")).unwrap();
}

/// A duration as a figure.
pub fn shown(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Held while a test uses labs: each wants the whole machine, from whichever checkout it runs.
pub struct Turn(#[expect(dead_code, reason = "locked as long as it is open")] File);

impl Turn {
    pub fn take() -> Self {
        let file = File::create(std::env::temp_dir().join("slipway-cluster-tests.lock")).unwrap();
        file.lock().unwrap();
        Self(file)
    }
}

pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}
