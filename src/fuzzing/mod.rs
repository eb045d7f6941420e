//! Everything that slipway reads and did not write, open to a fuzzer: `fuzz/` feeds these functions,
//! each with one kind of input, and the unit tests feed them the seeds in `fuzz/seeds/`.
//!
//! Beside not panicking, what comes of an input must be bounded by its size and must not steer a
//! terminal. Compiled for tests and fuzzers only.
//!
//! To add a target: a function here with its line in [`TARGETS`], a file in `fuzz/fuzz_targets/`, a
//! `[[bin]]` in `fuzz/Cargo.toml`, and at least one seed.

use std::path::{Component, Path};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use x509_parser::certification_request::X509CertificationRequestInfo;
use x509_parser::prelude::FromDer as _;

use crate::approver::objects::{MAX_OBJECT, Object, Objects};
use crate::approver::{self, Nodes};
use crate::bundle::{Manifest, lock::Lock};
use crate::cluster::{Cluster, Ssh};
use crate::command::Output;
use crate::diagnostic::Error;
use crate::host::known_hosts::{HostKeys, Verdict};
use crate::inventory;
use crate::probe;
use crate::survey::{Facts, Survey, preflight};

mod keys;
mod node;

pub use keys::state;
pub use node::node_output;

/// A function that takes whatever a fuzzer gives.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("csr", csr),
    ("facts", facts),
    ("frames", frames),
    ("inventory", inventory),
    ("known_hosts", known_hosts),
    ("manifest", manifest),
    ("node_output", node_output),
    ("state", state),
];

/// An inventory.
pub fn inventory(data: &[u8]) {
    for new in [false, true] {
        match inventory::parse(Path::new("slipway.yaml"), data.to_vec(), new) {
            Ok(inventory) => {
                let shown = inventory.cluster.nodes.iter().map(|node| {
                    inventory.excerpt(&node.name, "here").unwrap_or_default().len()
                });
                shown.for_each(|length| bounded(length, data.len()));
            }
            Err(error) => harmless(&error, data.len()),
        }
    }
}

/// A file of known hosts, asked about hosts of every form.
pub fn known_hosts(data: &[u8]) {
    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let text = String::from_utf8_lossy(data);
    let Ok(key) = format!("ssh-ed25519 {KEY}").parse() else { return };
    for (host, port) in [("cp-1", 22), ("cp-1", 2222), ("a-host.with-a-long-name.example", 22)] {
        let ssh = Ssh {
            host: host.to_owned(),
            port,
            user: "root".to_owned(),
            identity: None,
            known_hosts: "known_hosts".into(),
            host_key: None,
        };
        match HostKeys::parse(&ssh, &text).judge(&key) {
            Verdict::Trusted => assert!(text.contains(KEY), "a key that is not there is trusted"),
            Verdict::Unknown(question) => bounded(question.note.map_or(0, |n| n.len()), 0),
            Verdict::Rejected(error) => harmless(&error, data.len()),
        }
    }
}

/// A node's answer to the survey: as a whole, and as each value that is not one line.
pub fn facts(data: &[u8]) {
    let value = BASE64.encode(data);
    let known = format!("nodes={}", BASE64.encode("cp-1 uid v1.37.1"));
    for (more, answer) in [
        ("", data.to_vec()),
        ("", format!("ca={value}").into_bytes()),
        ("", format!("nodes={value}\netcd={value}").into_bytes()),
        (known.as_str(), format!("config={value}\nkubelet={value}").into_bytes()),
    ] {
        let first = format!("os=debian-12\nboot_id=x\n{more}\n").into_bytes();
        let output = Output { stdout: [first, answer].concat(), ..Output::default() };
        let judged = Facts::parse(&output).and_then(|facts| {
            bounded(format!("{facts:?}").len(), data.len());
            let nodes = CLUSTER.nodes.iter();
            let all = nodes.map(|node| (node.name.clone(), facts.clone())).collect();
            preflight(&CLUSTER, &Survey::new(&CLUSTER, None, all)?, (2, 36))
        });
        if let Err(error) = judged {
            harmless(&error, data.len());
        }
    }
}

/// The answers to the probes of one look.
pub fn frames(data: &[u8]) {
    for count in [1, 2, 7] {
        match probe::frames(data, "n0nce", count) {
            Ok(outputs) => {
                assert_eq!(outputs.len(), count);
                let size: usize = outputs.iter().map(|output| output.stdout.len()).sum();
                assert!(size <= data.len());
            }
            Err(error) => harmless(&error, 0),
        }
    }
}

/// A bundle's manifest, and a lock file.
pub fn manifest(data: &[u8]) {
    match Manifest::parse(data) {
        Ok(manifest) => {
            for (path, sha256, _) in manifest.contents() {
                let mut parts = Path::new(&path).components();
                assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{path}");
                assert!(sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit()));
            }
            let lock = Lock::of(&manifest);
            assert_eq!(lock.check(&manifest), Ok(()));
            let text = serde_yaml::to_string(&lock).unwrap_or_default();
            assert_eq!(Lock::parse(&text), Ok(lock), "{text}");
        }
        Err(error) => harmless(&error, data.len()),
    }
    if let Ok(lock) = Lock::parse(&String::from_utf8_lossy(data)) {
        let other = include_bytes!("../../fuzz/seeds/manifest/manifest.json");
        let checked = Manifest::parse(other).and_then(|other| lock.check(&other));
        checked.err().iter().for_each(|error| harmless(error, data.len()));
    }
}

/// What kubectl prints of certificate requests; a PKCS#10 request; what of it is signed.
pub fn csr(data: &[u8]) {
    let address = [10, 77, 0, 21].into();
    let nodes = Nodes::from([("w-1".to_owned(), vec![address])]);
    let mut objects = Objects::default();
    let whole = objects.push(data);
    let mut objects = Objects::default();
    let pieces: Vec<Object> = data.chunks(7).flat_map(|chunk| objects.push(chunk)).collect();
    assert_eq!(whole, pieces);
    for object in whole {
        let Object::Text(text) = object else { continue };
        assert!(text.len() <= MAX_OBJECT);
        let Ok(request) = serde_json::from_slice(&text) else { continue };
        if let approver::Verdict::Refuse(why) = approver::judge(&request, &nodes) {
            bounded(why.len(), data.len());
        }
    }
    let (user, node) = ("system:node:w-1", "w-1");
    let refused = approver::judge::check_pkcs10(data, user, node, &[address]).err();
    bounded(refused.unwrap_or_default().len(), data.len());
    if let Ok((_, info)) = X509CertificationRequestInfo::from_der(data) {
        let refused = approver::judge::check_info(&info, user, node, &[address]).err();
        bounded(refused.unwrap_or_default().len(), data.len());
    }
}

/// What comes of an input of so many bytes is not much larger: as many again for each time that it
/// is shown, each of them perhaps an escape, and what frames it.
fn bounded(size: usize, input: usize) {
    assert!(size <= (64 << 10) + 16 * input, "{size} bytes come of {input}");
}

/// As [`bounded`], for what people see on their terminal.
fn harmless(error: &Error, input: usize) {
    let text = error.to_string();
    bounded(text.len(), input);
    assert!(!steers(&text), "{text:?}");
}

/// Whether a terminal would do more than show `text` in lines.
fn steers(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

/// A cluster to judge nodes by.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let bytes = include_bytes!("../../inventories/all-keys.yaml").to_vec();
    match inventory::parse(Path::new("slipway.yaml"), bytes, true) {
        Ok(inventory) => inventory.cluster,
        Err(error) => panic!("{error}"),
    }
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    fn listed(dir: &str) -> Vec<PathBuf> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(dir);
        let entries = std::fs::read_dir(&dir).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn every_target_takes_its_seeds() {
        for (name, target) in TARGETS {
            let seeds = listed(&format!("seeds/{name}"));
            assert!(!seeds.is_empty(), "{name} has no seed");
            seeds.iter().for_each(|seed| target(&std::fs::read(seed).unwrap()));
        }
    }

    #[test]
    fn every_target_is_there_for_the_fuzzer() {
        let files: BTreeSet<String> = listed("fuzz_targets")
            .iter()
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, names);
    }
}
