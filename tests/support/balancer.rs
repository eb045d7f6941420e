//! A load balancer that is not slipway's: a haproxy of the test's own, on this machine.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

pub struct Balancer {
    /// Where it listens.
    pub authority: String,
    haproxy: Child,
    log: tempfile::TempDir,
}

impl Balancer {
    /// Listens at a free port of `address`, and forwards to `target`, until it is dropped.
    pub fn start(address: &str, target: &str) -> Self {
        // Free a moment ago: nothing else asks for ports at the lab's bridge.
        let listener = TcpListener::bind((address, 0)).unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        drop(listener);
        let log = tempfile::tempdir().unwrap();
        let config = log.path().join("haproxy.cfg");
        let text = format!(
            "global\n  log stdout format raw local0\ndefaults\n  mode tcp\n  log global\n  \
             option tcplog\n  timeout connect 2s\n  timeout client 1h\n  timeout server 1h\n\
             listen api\n  bind {authority}\n  server api {target}\n"
        );
        fs::write(&config, text).unwrap();
        let output = fs::File::create(log.path().join("log")).unwrap();
        let haproxy = Command::new("/usr/sbin/haproxy")
            .args(["-db", "-f"])
            .arg(&config)
            .stdout(output)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|e| panic!("haproxy: {e}; `scripts/machine test` installs it"));
        Self { authority, haproxy, log }
    }

    /// How many connections it has closed again, each a line of its log.
    pub fn connections(&self) -> usize {
        fs::read_to_string(self.log.path().join("log")).unwrap().lines().count()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}
