//! The rule, as a table.

use x509_parser::certification_request::{X509CertificationRequest, X509CertificationRequestInfo};
use x509_parser::prelude::FromDer as _;

use super::super::der::tlv;
use super::*;

fn verdict(object: Value) -> Verdict {
    super::super::judge(&serde_json::from_value(object).unwrap(), &nodes())
}

#[track_caller]
fn refused(object: Value, expected: &str) {
    match verdict(object) {
        Verdict::Refuse(why) => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}, not refused because {expected}"),
    }
}

#[test]
fn a_kubelets_request_is_approved() {
    assert_eq!(verdict(good()), Verdict::Approve);
    for names in [vec![dns("w-1")], vec![ip("10.77.0.21")], vec![ip("fd00::21"), dns("w-1")]] {
        assert_eq!(verdict(object(&pkcs10(subject(), names))), Verdict::Approve);
    }
    let rsa = json!(["digital signature", "key encipherment", "server auth"]);
    assert_eq!(verdict(with("/spec/usages", rsa)), Verdict::Approve);
}

#[tokio::test]
async fn a_request_made_by_another_library_is_read_alike() {
    let dir = tempfile::tempdir().unwrap();
    let line = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k \
                -subj /O=system:nodes/CN=system:node:w-1 -addext subjectAltName=DNS:w-1";
    let openssl = crate::process::Process::new("openssl").args(line.split_whitespace());
    let pem = openssl.dir(dir.path()).run().await.unwrap().text();
    assert_eq!(verdict(object(&format!("{pem}\n"))), Verdict::Approve);
}

#[test]
fn what_is_not_ours_or_decided_is_ignored() {
    for object in [
        with("/spec/signerName", "kubernetes.io/kube-apiserver-client"),
        with("/status/conditions", json!([{"type": "Approved", "status": "True"}])),
        with("/status/conditions", json!([{"type": "Denied", "status": "True"}])),
        with("/status/conditions", json!([{"type": "Failed", "status": "True"}])),
        with("/status/certificate", "LS0t"),
        json!({}),
    ] {
        assert!(matches!(verdict(object.clone()), Verdict::Ignore(_)), "{object}");
    }
}

#[test]
fn who_filed_it_must_be_the_node() {
    refused(with("/spec/username", "mallory"), "`mallory` is no node");
    refused(with("/spec/username", "system:node:"), "`` is not in the table");
    refused(with("/spec/username", "system:node:w-9"), "`w-9` is not in the table");
    refused(with("/spec/username", "system:node:cp-1"), "its common name is not");
    refused(with("/spec/groups", json!(["system:authenticated"])), "not in the group");
}

#[test]
fn usages_are_a_servers() {
    refused(with("/spec/usages", json!(["server auth", "client auth"])), "`client auth`");
    refused(with("/spec/usages", json!(["digital signature"])), "`server auth` is missing");
    refused(with("/spec/usages", json!([])), "`server auth` is missing");
}

#[test]
fn names_are_the_nodes_own() {
    for (names, expected) in [
        (vec![], "must ask for alternative names"),
        (vec![dns("w-1"), ip("10.77.0.11")], "10.77.0.11 is not an address of `w-1`"),
        (vec![dns("w-1"), dns("kubernetes")], "`kubernetes` is not the name of `w-1`"),
        (vec![dns("W-1")], "`W-1` is not the name"),
        (vec![ip("::ffff:10.77.0.21")], "is not an address"),
        (vec![dns("w-1"), SanType::URI("https://w-1".try_into().unwrap())], "something else"),
        (vec![dns("w-1"), SanType::Rfc822Name("w@w-1".try_into().unwrap())], "something else"),
    ] {
        refused(object(&pkcs10(subject(), names)), expected);
    }
}

#[test]
fn the_subject_is_the_node_and_nothing_else() {
    let of = |parts: &[(DnType, &str)]| {
        let mut name = DistinguishedName::new();
        for (kind, value) in parts {
            name.push(kind.clone(), *value);
        }
        object(&pkcs10(name, vec![dns("w-1")]))
    };
    let (o, cn) = (DnType::OrganizationName, DnType::CommonName);
    let node = "system:node:w-1";
    refused(of(&[(o.clone(), "system:nodes"), (cn.clone(), "system:node:cp-1")]), "common name");
    refused(of(&[(o.clone(), "system:nodes")]), "common name");
    refused(of(&[(o.clone(), "system:masters"), (cn.clone(), node)]), "organization");
    refused(of(&[(cn.clone(), node)]), "organization");
    let unit = DnType::OrganizationalUnitName;
    refused(of(&[(o, "system:nodes"), (cn, node), (unit, "x")]), "more than name");
}

#[test]
fn nothing_else_is_asked_for() {
    let eku = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    };
    refused(object(&pkcs10_of(subject(), vec![dns("w-1")], eku)), "for nothing else");
}

#[test]
fn two_requests_in_one_are_refused() {
    let one = pkcs10(subject(), vec![dns("w-1")]);
    let other = pkcs10(subject(), vec![dns("kubernetes")]);
    for pem in [format!("{one}{other}"), format!("x\n{one}"), one.replace("REQUEST", "")] {
        refused(object(&pem), "no PEM of one certificate request");
    }
}

/// Requests that are signed well, but not written as a kubelet writes them; `change` gets the DER
/// of what is signed.
fn resigned(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Value {
    use rcgen::SigningKey as _;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = subject();
    params.subject_alt_names = vec![dns("w-1")];
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
    let info = change(request.certification_request_info.raw.to_vec());
    let signature = [vec![0], key.sign(&info).unwrap()].concat();
    // ecdsa-with-SHA256, 1.2.840.10045.4.3.2
    let algorithm = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let all = [info, tlv(0x30, &algorithm), tlv(0x03, &signature)].concat();
    object(&wrap(&tlv(0x30, &all)))
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    assert_eq!(verdict(resigned(|info| info)), Verdict::Approve);
    // Every single bit changed, by a node that signs that too. How its key is written is left to
    // the signer: a certificate for a key that nobody has harms nobody.
    let shape = std::cell::Cell::new((0, 0, 0));
    resigned(|info| {
        let (_, parsed) = X509CertificationRequestInfo::from_der(&info).unwrap();
        let key = parsed.subject_pki.raw;
        let start = info.windows(key.len()).position(|bytes| bytes == key).unwrap();
        shape.set((info.len(), start, start + key.len()));
        info.clone()
    });
    let (length, key_start, key_end) = shape.get();
    let verdicts: Vec<_> = (0..key_start * 8)
        .chain(key_end * 8..length * 8)
        .map(|bit| verdict(resigned(|info| flipped(info, bit))))
        .collect();
    assert!(!verdicts.contains(&Verdict::Approve));
    // Some of them get past the parser.
    let form = "its certificate request has another form than a kubelet's";
    assert!(verdicts.contains(&Verdict::Refuse(form.to_owned())));
}

fn flipped(mut bytes: Vec<u8>, bit: usize) -> Vec<u8> {
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

fn wrap(der: &[u8]) -> String {
    let body = BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

#[test]
fn rubbish_is_refused_and_nothing_panics() {
    for rubbish in ["", "x", "LS0tLS1CRUdJTg==", "\u{1b}[31m"] {
        refused(with("/spec/request", rubbish), "no PEM");
    }
    refused(
        object("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"),
        "cannot be read",
    );
    // Any bit of what is signed changed.
    let pem = pkcs10(subject(), vec![dns("w-1"), ip("10.77.0.21")]);
    let (_, der) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, request) = X509CertificationRequest::from_der(&der.contents).unwrap();
    let signed = 4..4 + request.certification_request_info.raw.len();
    assert_eq!(verdict(object(&wrap(&der.contents))), Verdict::Approve);
    for bit in signed.start * 8..signed.end * 8 {
        refused(object(&wrap(&flipped(der.contents.clone(), bit))), "");
    }
    for length in 0..der.contents.len() {
        refused(object(&wrap(&der.contents[..length])), "");
    }
    refused(object(&wrap(&[der.contents, vec![0]].concat())), "something follows");
}
