//! Keys and certificates that a control plane gave back, and what lies in a state directory.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{bounded, harmless};
use crate::pki::{self, Pki};
use crate::session;
use crate::state::Record;

/// `state.json`; a control plane's shared keys, as it prints them; a certificate or key, as DER.
pub(super) fn state(data: &[u8]) {
    if let Err(error) = Record::parse(data) {
        harmless(&error, data.len());
    }
    let files = session::key_files(data);
    bounded(files.iter().map(|(name, bytes)| name.len() + bytes.expose().len()).sum(), data.len());
    load(data.len(), |name| files.get(name).map(|bytes| bytes.expose().clone()));
    // A fuzzer changes DER better than base64.
    for (name, label) in [
        ("ca.crt", "CERTIFICATE"),
        ("ca.key", "PRIVATE KEY"),
        ("ca.key", "EC PRIVATE KEY"),
        ("ca.key", "RSA PRIVATE KEY"),
        ("sa.pub", "PUBLIC KEY"),
    ] {
        let body = BASE64.encode(data);
        let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes();
        load(data.len(), |file| (file == name).then(|| pem.clone()));
    }
}

/// Loads keys of which `given` replaces some, and signs with what comes of it.
fn load(size: usize, given: impl Fn(&str) -> Option<Vec<u8>>) {
    static FILES: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| match Pki::generate() {
        Ok(keys) => keys.files().iter().map(|f| (f.name, f.content.expose().to_vec())).collect(),
        Err(error) => panic!("{error}"),
    });
    if pki::FILES.iter().all(|name| given(name).is_none()) {
        return;
    }
    let loaded = Pki::from_files(|name| given(name).or_else(|| FILES.get(name).cloned()));
    match loaded.and_then(|keys| keys.kubeconfig("prod", "https://10.77.0.100:6443")) {
        Ok(kubeconfig) => bounded(kubeconfig.expose().len(), size),
        Err(error) => harmless(&error, size),
    }
}
