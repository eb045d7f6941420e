//! Canaries: secrets that must be found nowhere but where they belong.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::kube::Kube;
use super::lab::Lab;
use super::{eventually, pause, secs};

/// How often command lines are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Something secret, in one of the forms that it could be printed in.
#[derive(Debug)]
pub struct Canary {
    of: String,
    text: String,
}

/// Every private key that was made on this machine. The bootstrap token is gone by then.
pub fn canaries(lab: &Lab, kube: &Kube) -> Vec<Canary> {
    let mut all = Vec::new();
    for name in ["ca", "front-proxy-ca", "etcd/ca", "sa"] {
        let pem = fs::read_to_string(lab.state().join(format!("pki/{name}.key"))).unwrap();
        all.extend(forms(&format!("pki/{name}.key"), &pem));
    }
    let kubeconfig = fs::read_to_string(lab.state().join("kubeconfig")).unwrap();
    let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("client-key-data: "));
    all.extend(forms("the kubeconfig's key", &decoded(line.unwrap().trim_matches('"'))));
    let secret = |name: &str| -> Value {
        let args = ["-n", "kube-system", "get", "secret", name, "-o", "json"];
        serde_json::from_str(&kube.get(&args)).unwrap()
    };
    let tls = secret("metrics-server-tls");
    all.extend(forms("metrics-server's key", &decoded(tls["data"]["tls.key"].as_str().unwrap())));
    let names = kube.get(&["-n", "kube-system", "get", "secrets", "-o", "name"]);
    assert!(!names.contains("/bootstrap-token-"), "the run's token is left: {names}");
    assert!(all.len() >= 6 * 3, "too few canaries: {}", all.len());
    all
}

fn decoded(base64: &str) -> String {
    String::from_utf8(STANDARD.decode(base64.trim()).unwrap()).unwrap()
}

/// The lines of a PEM body, and a part of it encoded once more, as kubeconfigs and Secrets do.
fn forms(of: &str, pem: &str) -> Vec<Canary> {
    assert!(pem.contains("PRIVATE KEY"), "{of} is no private key");
    let body = pem.lines().filter(|line| !line.starts_with("-----") && line.len() > 40);
    let mut all: Vec<String> = body.map(str::to_owned).collect();
    assert!(!all.is_empty(), "{of} has no body");
    let encoded = STANDARD.encode(pem);
    all.push(encoded[encoded.len() / 3..encoded.len() / 3 + 60].to_owned());
    all.into_iter().map(|text| Canary { of: of.to_owned(), text }).collect()
}

/// None of them is in `text`.
#[track_caller]
pub fn assert_absent(canaries: &[Canary], place: &str, text: &str) {
    for canary in canaries {
        assert!(!text.contains(&canary.text), "{} is in {place}", canary.of);
    }
}

/// None of them is in a file that a user without rights could read, or in a node's journal.
pub fn assert_hidden_on_nodes(lab: &Lab, canaries: &[Canary]) {
    // Found by the same search, it proves that the search finds.
    const CONTROL: &str = "a-secret-that-everyone-may-read";
    const SEARCH: &str = r#"umask 077; cat >/run/e2e-patterns
echo a-secret-that-everyone-may-read >/var/tmp/e2e-open; chmod 0644 /var/tmp/e2e-open
echo a-secret-that-everyone-may-read >/var/tmp/e2e-closed
setpriv --reuid=65534 --regid=65534 --clear-groups find / \( -path /proc -o -path /sys -o -path /dev \) \
  -prune -o -type f -readable -newerct @BEGAN -print0 2>/dev/null |
  xargs -0 -r grep -l -a -F -f /run/e2e-patterns | sort
echo; journalctl --quiet --no-pager -o cat | grep -a -F -f /run/e2e-patterns | cut -c1-200
rm -f /run/e2e-patterns /var/tmp/e2e-open /var/tmp/e2e-closed"#;
    let mut patterns: Vec<&str> = canaries.iter().map(|canary| canary.text.as_str()).collect();
    patterns.push(CONTROL);
    let search = SEARCH.replace("BEGAN", &lab.began.to_string());
    let found = lab.on_all(&lab.names(), &search, &(patterns.join("\n") + "\n"));
    for (node, found) in lab.names().iter().zip(found) {
        assert_eq!(
            found.trim_end(),
            "/var/tmp/e2e-open",
            "readable secrets, or in the journal, on {node}"
        );
    }
}

/// Looks at the command lines of all processes of this machine, so also of all nodes.
pub struct Sampler {
    stop: Arc<AtomicBool>,
    sampling: JoinHandle<(BTreeSet<Vec<u8>>, usize)>,
}

impl Sampler {
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let sampling = std::thread::spawn(move || {
            let (mut seen, mut rounds) = (BTreeSet::new(), 0);
            while !stopping.load(Ordering::Relaxed) {
                sample(&mut seen);
                rounds += 1;
                pause(EVERY);
            }
            (seen, rounds)
        });
        Self { stop, sampling }
    }

    /// All command lines that were seen, one a line; and how many times it looked.
    pub fn end(self, lab: &Lab) -> (String, usize) {
        // Proves that it sees what runs on a node.
        let node = &lab.workers().last().unwrap().name;
        lab.on(node, "sh -c 'sleep 1; :' seen-on-a-node");
        self.stop.store(true, Ordering::Relaxed);
        let (seen, rounds) = self.sampling.join().unwrap();
        let lines: Vec<String> = seen
            .iter()
            .map(|line| String::from_utf8_lossy(line).replace(['\0', '\n'], " "))
            .collect();
        // The one on the node, not this machine's that started it.
        let found = lines.iter().any(|line| line.trim_end() == "sleep 1")
            && lines.iter().any(|line| line.starts_with("sh -c sleep 1; : seen-on-a-node"));
        assert!(found, "the sampler does not see the nodes' processes");
        (lines.join("\n"), rounds)
    }
}

fn sample(seen: &mut BTreeSet<Vec<u8>>) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
            && let Ok(line) = fs::read(entry.path().join("cmdline"))
            && !line.is_empty()
        {
            seen.insert(line);
        }
    }
}

/// Only control planes hold the authorities' keys, all the same ones, and those of the state.
pub fn authorities(lab: &Lab) {
    const LOOK: &str = "cd /etc/kubernetes/pki && for c in ca.crt front-proxy-ca.crt etcd/ca.crt; do \
        openssl x509 -in $c -noout -fingerprint -sha256; done; \
        for k in ca.key front-proxy-ca.key etcd/ca.key sa.key; do \
        [ -e $k ] && echo $k $(stat -c %a:%U $k) $(sha256sum <$k); done; :";
    let dir = lab.state().join("pki").display().to_string();
    let here = super::run("sh", &["-c", &LOOK.replace("/etc/kubernetes/pki", &dir)], "");
    let here = here.ok("fingerprints of the state");
    assert_eq!(here.lines().count(), 7, "{here}");
    assert_eq!(here.matches(" 600:").count(), 4, "keys that others may read: {here}");
    for node in lab.control_planes() {
        assert_eq!(lab.on(&node.name, LOOK), here, "authorities on {}", node.name);
    }
    for node in lab.workers() {
        let keys = lab
            .on(&node.name, "find /etc/kubernetes /var/lib/slipway -name '*.key' 2>/dev/null; :");
        assert_eq!(keys, "", "keys on the worker {}", node.name);
        // Nor under another name.
        let bodies = fs::read_to_string(lab.state().join("pki/ca.key")).unwrap();
        let body = bodies.lines().nth(1).unwrap();
        let found = lab.on_with(
            &node.name,
            "umask 077; cat >/run/e2e-body; grep -rlaF -f /run/e2e-body /etc /var/lib/slipway /root /tmp 2>/dev/null; rm /run/e2e-body",
            &format!("{body}\n"),
        );
        assert_eq!(found, "", "the CA's key on the worker {}", node.name);
    }
}

/// The kubelets' serving certificates were approved by now: nothing else is pending.
pub fn no_request_is_pending(kube: &Kube) {
    eventually("no certificate request is pending", secs(30), || {
        let text = kube.run(&["get", "csr", "--no-headers"]).tried()?;
        if text.contains("Pending") { Err(text) } else { Ok(()) }
    });
}
