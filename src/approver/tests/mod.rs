//! Requests as kubelets make them, and as they should not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use serde_json::{Value, json};

use super::*;

mod client;
mod judge;
mod service;

fn nodes() -> Nodes {
    serde_json::from_value(json!({
        "cp-1": ["10.77.0.11"],
        "w-1": ["10.77.0.21", "fd00::21"],
    }))
    .unwrap()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse().unwrap())
}

/// What a certificate request says of its subject: as `w-1` would.
fn subject() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "system:nodes");
    name.push(DnType::CommonName, "system:node:w-1");
    name
}

/// A certificate request in PEM.
fn pkcs10(subject: DistinguishedName, names: Vec<SanType>) -> String {
    pkcs10_of(subject, names, |_| ())
}

fn pkcs10_of(
    subject: DistinguishedName,
    names: Vec<SanType>,
    change: impl FnOnce(&mut CertificateParams),
) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.subject_alt_names = names;
    change(&mut params);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// A good request of `w-1`, as the API shows it, with its PKCS#10 replaced.
fn object(pem: &str) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "csr-8xv2k", "uid": "0d0c", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "request": BASE64.encode(pem),
            "signerName": "kubernetes.io/kubelet-serving",
            "usages": ["digital signature", "server auth"],
            "username": "system:node:w-1",
            "groups": ["system:nodes", "system:authenticated"],
        },
        "status": {},
    })
}

/// A good request of `w-1`.
fn good() -> Value {
    object(&pkcs10(subject(), vec![dns("w-1"), ip("10.77.0.21"), ip("fd00::21")]))
}

/// `good`, with one value replaced; `at` is a JSON pointer.
fn with(at: &str, value: impl Into<Value>) -> Value {
    let mut object = good();
    let (parent, key) = at.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value.into();
    object
}
