//! Which host keys to trust: those that the inventory pins, else those in the `known_hosts` file.
//!
//! Fails closed. A host is *unknown* only when no line of the file is about it; a host with lines
//! whose key is another one, of whatever type, is an impostor until a person says otherwise.
//! Hashed names, `[host]:port`, wildcards, negation and `@revoked` mean what sshd(8) says they do.
//! `@cert-authority` lines are noted and otherwise ignored: host certificates are not supported.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{HostPatterns, Marker};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use sha1::Sha1;

use crate::cluster::Ssh;
use crate::diagnostic::{Error, Kind, Result};

/// Host key types that are accepted, the best first. No `ssh-rsa`: it signs with SHA-1.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// What is known about one host's keys.
#[derive(Debug, Clone)]
pub(crate) struct HostKeys {
    /// The host as `known_hosts` names it: `host`, or `[host]:port`.
    name: String,
    file: PathBuf,
    pinned: bool,
    lines: Vec<Line>,
}

/// A line about this host.
#[derive(Debug, Clone)]
struct Line {
    /// Where it stands, for messages.
    place: String,
    marker: Option<Marker>,
    /// `None` when it cannot be parsed, or has a type that nobody can use.
    key: Option<PublicKey>,
}

/// What follows for a key that a host has shown.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is the host's.
    Trusted,
    /// Nothing is known about this host.
    Unknown(UnknownKey),
    /// It is not the host's, or it is revoked.
    Rejected(Error),
}

/// The key of a host that nothing is known about: the question to ask a person.
#[derive(Debug, Clone)]
pub struct UnknownKey {
    /// The host as `known_hosts` names it: `host`, or `[host]:port`.
    pub host: String,
    /// The key in OpenSSH's form, fit for the inventory's `hostKey`.
    pub key: String,
    /// Its fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// What else is worth knowing, if anything.
    pub note: Option<String>,
}

impl HostKeys {
    /// What the inventory and the file say about the host.
    ///
    /// # Errors
    /// `Inventory` when the pinned key is none; `Machine` when the file cannot be read.
    pub(super) fn load(ssh: &Ssh) -> Result<Self> {
        match &ssh.host_key {
            Some(pinned) => Self { pinned: true, ..Self::parse(ssh, "") }.pin(pinned),
            None => Ok(Self::parse(ssh, &read(&ssh.known_hosts)?)),
        }
    }

    /// What `text`, a file of known hosts, says about the host.
    pub(crate) fn parse(ssh: &Ssh, text: &str) -> Self {
        let host = ssh.host.to_lowercase();
        let name = if ssh.port == 22 { host } else { format!("[{host}]:{}", ssh.port) };
        let file = ssh.known_hosts.clone();
        let numbered = text.lines().zip(1..);
        let lines = numbered
            .filter_map(|(line, number)| {
                Line::parse(line, &name, format!("{}:{number}", file.display()))
            })
            .collect();
        Self { name, file, pinned: false, lines }
    }

    /// The same host with exactly this key, in OpenSSH's form.
    pub(super) fn pin(self, key: &str) -> Result<Self> {
        let parsed = PublicKey::from_openssh(key.trim()).map_err(|e| {
            Error::new(Kind::Inventory, format!("the host key of {} is not one: {e}", self.name))
                .hint("it reads like `ssh-ed25519 AAAA…`, as in /etc/ssh/ssh_host_ed25519_key.pub")
        })?;
        let place = "the inventory".to_owned();
        Ok(Self { lines: vec![Line { place, marker: None, key: Some(parsed) }], ..self })
    }

    /// The key types to negotiate: those on record first, so that a host with several keys shows
    /// the one that can be checked.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let recorded: Vec<Algorithm> = self.recorded().map(PublicKey::algorithm).collect();
        let known = |candidate: &Algorithm| match candidate {
            Algorithm::Rsa { .. } => {
                recorded.iter().any(|key| matches!(key, Algorithm::Rsa { .. }))
            }
            other => recorded.contains(other),
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = ALGORITHMS.into_iter().partition(known);
        first.extend(rest);
        first
    }

    fn recorded(&self) -> impl Iterator<Item = &PublicKey> {
        self.lines.iter().filter(|line| line.marker.is_none()).filter_map(|line| line.key.as_ref())
    }

    /// Whether `offered` is the host's key.
    pub(crate) fn judge(&self, offered: &PublicKey) -> Verdict {
        let same = |line: &&Line| {
            line.key.as_ref().is_some_and(|key| key.key_data() == offered.key_data())
        };
        let of = |marker| self.lines.iter().filter(move |line| line.marker == marker);
        if let Some(line) = of(Some(Marker::Revoked)).find(same) {
            let message = format!("the host key of {} is revoked by {}", self.name, line.place);
            return Verdict::Rejected(
                Error::new(Kind::Connection, message).note(describe("it shows", offered)),
            );
        }
        if of(None).any(|line| same(&line)) {
            return Verdict::Trusted;
        }
        match of(None).next() {
            Some(_) => Verdict::Rejected(self.changed(offered)),
            None => Verdict::Unknown(UnknownKey {
                host: self.name.clone(),
                key: offered.to_openssh().unwrap_or_default(),
                fingerprint: offered.fingerprint(HashAlg::Sha256).to_string(),
                note: of(Some(Marker::CertAuthority)).next().map(|line| {
                    format!("{} names an authority, but certificates are not supported", line.place)
                }),
            }),
        }
    }

    fn changed(&self, offered: &PublicKey) -> Error {
        let message = format!("{} shows another host key than the one on record", self.name);
        let mut error = Error::new(Kind::Connection, message);
        for line in self.lines.iter().filter(|line| line.marker.is_none()) {
            error = error.note(match &line.key {
                Some(key) => describe(&format!("{} has", line.place), key),
                None => format!("{} has a key that cannot be read", line.place),
            });
        }
        let remedy = if self.pinned {
            "correct `hostKey` in the inventory".to_owned()
        } else {
            format!("`ssh-keygen -f '{}' -R '{}'`", self.file.display(), self.name)
        };
        error.note(describe("it shows", offered)).hint(format!(
            "somebody may be between you and the machine; if it was reinstalled: {remedy}"
        ))
    }

    /// Adds `key` to the file: the name hashed if the file hashes names, a new file for its owner
    /// only.
    ///
    /// # Errors
    /// `Machine` when the file cannot be written.
    pub(super) fn remember(&self, key: &str) -> Result<()> {
        let text = read(&self.file)?;
        let hashed = text.lines().any(|line| line.starts_with("|1|"));
        let name = if hashed { hash(&self.name) } else { self.name.clone() };
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.append(&format!("{gap}{name} {key}\n")).map_err(|e| cannot("write", &self.file, &e))
    }

    fn append(&self, line: &str) -> std::io::Result<()> {
        if let Some(parent) = self.file.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(&self.file)?.write_all(line.as_bytes())
    }
}

impl Line {
    /// `None` when the line is not about the host `name`.
    fn parse(text: &str, name: &str, place: String) -> Option<Self> {
        let mut words = text.split_whitespace().peekable();
        let marker = match words.next_if(|word| word.starts_with('@')) {
            None => None,
            Some(word) => Some(word.parse::<Marker>().ok()?),
        };
        let patterns: HostPatterns = words.next_if(|word| !word.starts_with('#'))?.parse().ok()?;
        if !matches(&patterns, name) {
            return None;
        }
        let key = words.next().zip(words.next());
        let key =
            key.and_then(|(kind, blob)| PublicKey::from_openssh(&format!("{kind} {blob}")).ok());
        Some(Self { place, marker, key })
    }
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => digest(salt, name) == Some(*hash),
        HostPatterns::Patterns(patterns) => {
            let hit = |pattern: &str| glob(pattern.to_lowercase().as_bytes(), name.as_bytes());
            let denied = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(hit);
            !denied && patterns.iter().any(|pattern| hit(pattern))
        }
    }
}

/// Matches `*` and `?`, in time that grows with the product of both lengths, however many stars there are.
fn glob(mut pattern: &[u8], mut name: &[u8]) -> bool {
    // What follows the last star, and the name as of where it is tried.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => return true,
            (Some((b'*', more)), _) => {
                star = Some((more, name));
                pattern = more;
            }
            (Some((p, more)), Some((c, rest))) if *p == b'?' || p == c => {
                (pattern, name) = (more, rest);
            }
            _ => {
                let Some((more, [_, rest @ ..])) = star else { return false };
                star = Some((more, rest));
                (pattern, name) = (more, rest);
            }
        }
    }
}

fn digest(salt: &[u8], name: &str) -> Option<[u8; 20]> {
    let mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    Some(mac.chain_update(name).finalize().into_bytes().into())
}

fn hash(name: &str) -> String {
    let salt: [u8; 20] = rand::random();
    match digest(&salt, name) {
        Some(hash) => HostPatterns::HashedName { salt: salt.to_vec(), hash }.to_string(),
        None => name.to_owned(),
    }
}

/// The file's text; none where there is no file.
fn read(file: &Path) -> Result<String> {
    match fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(cannot("read", file, &e)),
    }
}

fn describe(what: &str, key: &PublicKey) -> String {
    format!("{what} {} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

fn cannot(what: &str, file: &Path, e: &std::io::Error) -> Error {
    Error::new(Kind::Machine, format!("cannot {what} {}: {e}", file.display()))
}

#[cfg(test)]
mod tests;
