//! An apply that goes on while something happens to it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::lab_cluster::{INVENTORY, LabCluster};

pub struct Running {
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Running {
    pub fn start(cluster: &LabCluster) -> Self {
        Self::of(cluster, &["apply", "--yes"])
    }

    /// Any run that changes nodes.
    pub fn of(cluster: &LabCluster, command: &[&str]) -> Self {
        let inventory = cluster.lab.file(INVENTORY);
        let mut child = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(command)
            .args(["--output", "json", "-i"])
            .arg(inventory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    let _ = send.send(event);
                }
            }
        });
        Self { child, events, seen: Vec::new() }
    }

    /// Waits until a node begins a change whose words hold `what`; false when the run ends first.
    pub fn until(&mut self, node: &str, what: &str) -> bool {
        let about = |event: &Value| {
            event["event"] == "changing"
                && (node.is_empty() || event["node"] == node)
                && event["what"].as_str().is_some_and(|text| text.contains(what))
        };
        loop {
            match self.events.recv_timeout(Duration::from_secs(300)) {
                Ok(event) => {
                    let found = about(&event);
                    self.seen.push(event);
                    if found {
                        return true;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    /// Waits for any change; gives which one, `None` when the run ends first.
    pub fn next_change(&mut self) -> Option<String> {
        loop {
            let event = self.events.recv_timeout(Duration::from_secs(300)).ok()?;
            if event["event"] == "changing" {
                return Some(format!("{} {}", event["node"], event["what"]));
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: the exit code, and what it said on standard error.
    pub fn end(mut self) -> (i32, String) {
        let mut said = String::new();
        let stderr = self.child.stderr.take().unwrap();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            said.push_str(&line);
            said.push('\n');
        }
        (self.child.wait().unwrap().code().unwrap_or(-1), said)
    }
}

/// What an apply says whose bundle has a wrong byte in `program`; it must fail.
pub fn with_damaged_bundle(cluster: &LabCluster, program: &str) -> String {
    use super::support::{KUBERNETES, run};
    let good = slipway::bundle::Bundle::locate(KUBERNETES, "amd64");
    let cache = tempfile::tempdir_in(good.parent().unwrap().parent().unwrap()).unwrap();
    let bundles = cache.path().join("bundles");
    std::fs::create_dir(&bundles).unwrap();
    let [from, to] = [good.as_path(), &bundles].map(|path| path.display().to_string());
    run("cp", &["-al", &from, &to], "").ok("a copy by links");
    let file = bundles.join(good.file_name().unwrap()).join("linux-amd64/bin").join(program);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(["apply", "--yes", "-i"])
        .arg(cluster.lab.file(INVENTORY))
        .env("SLIPWAY_CACHE", cache.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success(), "a damaged bundle was used");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
