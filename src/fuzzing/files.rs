//! Files on the operator's machine, which others may have written.

use std::path::{Component, Path};

use super::{harmless, shown};
use crate::bundle::{Manifest, lock::Lock};
use crate::cluster::Ssh;
use crate::diagnostic::{Error, Kind};
use crate::host::known_hosts::{HostKeys, Verdict};
use crate::inventory;
use crate::state::{LastApply, Saved};

/// An inventory.
pub(super) fn inventory(data: &[u8]) {
    for new in [false, true] {
        match inventory::parse(Path::new("slipway.yaml"), data.to_vec(), new) {
            Ok(inventory) => {
                for node in &inventory.cluster.nodes {
                    let excerpt = inventory.excerpt(&node.name, "here").unwrap_or_default();
                    harmless(&Error::new(Kind::Command, "x").snippet(excerpt), data.len());
                }
            }
            Err(error) => harmless(&error, data.len()),
        }
    }
}

/// A file of known hosts, asked about hosts of every form, which show the key of its first line
/// that begins with a key, or else one of ours.
pub(super) fn known_hosts(data: &[u8]) {
    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let text = String::from_utf8_lossy(data);
    let key = |line: &str| {
        // As a host shows it: without a comment.
        let mut words = line.split_whitespace();
        format!("{} {}", words.next()?, words.next()?).parse().ok()
    };
    let listed = text.lines().find_map(key);
    let known = listed.is_some() || text.contains(KEY);
    let ours = || format!("ssh-ed25519 {KEY}").parse().ok();
    let Some(key) = listed.or_else(ours) else { return };
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
            Verdict::Trusted => assert!(known, "a key that is not there is trusted"),
            Verdict::Unknown(question) => {
                for text in [question.key, question.fingerprint, question.note.unwrap_or_default()]
                {
                    shown(&text, data.len());
                }
            }
            Verdict::Rejected(error) => harmless(&error, data.len()),
        }
    }
}

/// A bundle's manifest, and a lock file.
pub(super) fn manifest(data: &[u8]) {
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

/// A saved plan, compared with another one both ways; the times of the last apply.
pub(super) fn plan(data: &[u8]) {
    const OTHER: &[u8] = include_bytes!("../../fuzz/seeds/plan/plan.json");
    let last = LastApply::parse(data).and_then(|last| last.day());
    shown(&last.unwrap_or_default(), data.len());
    match (Saved::parse(data), Saved::parse(OTHER)) {
        (Ok(saved), Ok(other)) => {
            assert_eq!(saved.check(&saved), Ok(0));
            for checked in [saved.check(&other), other.check(&saved)] {
                match checked {
                    Ok(gone) => assert!(gone <= saved.announced().max(other.announced())),
                    Err(error) => harmless(&error, data.len()),
                }
            }
        }
        (Err(error), _) | (_, Err(error)) => harmless(&error, data.len()),
    }
}
