//! Each reason to deny a request, one by one.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::*;
use crate::access::{request, signing_request};
use crate::api::ClusterRegistrationSpec;

fn registration() -> ClusterRegistration {
    let spec = ClusterRegistrationSpec { accepted: true, ..ClusterRegistrationSpec::default() };
    ClusterRegistration::new("east", spec)
}

fn first() -> CertificateSigningRequest {
    let pem = signing_request("east", &KeyPair::generate().unwrap()).unwrap();
    let mut request = request("east", false, pem, Duration::from_hours(2160));
    request.metadata.uid = Some("1".to_owned());
    request.spec.username = Some(access::bootstrap_user("east"));
    request
}

fn subject(names: &[(DnType, &str)]) -> ByteString {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind.clone(), *name);
    }
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    ByteString(request.pem().unwrap().into_bytes())
}

#[test]
fn the_first_request_and_renewals_are_approved() {
    assert_eq!(judge(&first(), &registration()), Verdict::First);
    for user in [access::member_user("east"), access::token_user("east")] {
        let mut renewal = first();
        renewal.metadata.name = Some(access::request_name("east", true));
        renewal.spec.username = Some(user);
        assert_eq!(judge(&renewal, &registration()), Verdict::Renewal);
    }
}

#[test]
fn a_request_that_used_the_credential_is_approved_again_after_an_interruption() {
    let mut used = registration();
    used.annotations_mut().insert(BOOTSTRAP_USED.to_owned(), "1".to_owned());
    assert_eq!(judge(&first(), &used), Verdict::First);
}

#[test]
fn everything_else_is_denied() {
    type Change = fn(&mut CertificateSigningRequest, &mut ClusterRegistration);
    let table: &[(&str, Change)] = &[
        ("asked by", |r, _| r.spec.username = Some(access::bootstrap_user("west"))),
        ("asked by", |r, _| r.spec.username = Some(access::member_user("east"))),
        ("asked by", |r, _| r.metadata.name = Some(access::request_name("east", true))),
        ("asked by", |r, _| r.spec.username = None),
        ("is being deleted", |_, c| {
            c.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
        }),
        ("not accepted", |_, c| c.spec.accepted = false),
        ("used already", |_, c| {
            c.annotations_mut().insert(BOOTSTRAP_USED.to_owned(), "2".to_owned());
        }),
        ("signer", |r, _| r.spec.signer_name = "kubernetes.io/kubelet-serving".to_owned()),
        ("usages", |r, _| r.spec.usages = None),
        ("usages", |r, _| {
            r.spec.usages = Some(vec!["client auth".to_owned(), "server auth".to_owned()]);
        }),
        ("expirationSeconds", |r, _| r.spec.expiration_seconds = None),
        ("expirationSeconds", |r, _| r.spec.expiration_seconds = Some(599)),
        ("expirationSeconds", |r, _| r.spec.expiration_seconds = Some(LONGEST_SECONDS + 1)),
        ("cannot be read", |r, _| r.spec.request = ByteString(b"junk".to_vec())),
        ("cannot be read", |r, _| r.spec.request = ByteString(vec![b'x'; 20_000])),
        ("subject", |r, _| {
            r.spec.request = subject(&[
                (DnType::OrganizationName, "system:masters"),
                (DnType::CommonName, "mcp:cluster:east:agent"),
            ]);
        }),
        ("subject", |r, _| {
            r.spec.request = subject(&[
                (DnType::OrganizationName, "mcp:clusters"),
                (DnType::CommonName, "mcp:cluster:west:agent"),
            ]);
        }),
        ("subject", |r, _| {
            r.spec.request = subject(&[
                (DnType::OrganizationName, "mcp:clusters"),
                (DnType::CommonName, "mcp:cluster:east:agent"),
                (DnType::LocalityName, "more"),
            ]);
        }),
    ];
    for (why, change) in table {
        let (mut request, mut registration) = (first(), registration());
        change(&mut request, &mut registration);
        match judge(&request, &registration) {
            Verdict::Deny(reason) => assert!(reason.contains(why), "{why}: {reason}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}
