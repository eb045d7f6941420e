//! What is made here, judged by `openssl`; what does not belong together.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;

use super::*;
use crate::process::Process;

mod elsewhere;

/// Runs `openssl` in `dir`; every word must be free of white space.
async fn openssl(dir: &Path, line: &str) -> String {
    Process::new("openssl").args(line.split_whitespace()).dir(dir).run().await.unwrap().text()
}

fn bytes(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

type Files = BTreeMap<&'static str, Vec<u8>>;

fn files(pki: &Pki) -> Files {
    pki.files().into_iter().map(|file| (file.name, file.content.expose().to_vec())).collect()
}

fn read(files: &Files) -> Result<Pki> {
    Pki::from_files(|name| files.get(name).cloned())
}

/// The files of a new cluster, with some replaced.
fn with(replaced: &[(&'static str, Vec<u8>)]) -> Files {
    let mut files = files(&Pki::generate().unwrap());
    files.extend(replaced.iter().cloned());
    files
}

fn message(result: Result<Pki>) -> String {
    result.unwrap_err().message().to_owned()
}

#[tokio::test]
async fn authorities_are_as_kubeadm_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    for file in Pki::generate().unwrap().files() {
        std::fs::write(dir.path().join(file.name.replace('/', "-")), file.content.expose())
            .unwrap();
    }
    for (file, name) in
        [("ca", "kubernetes"), ("front-proxy-ca", "front-proxy-ca"), ("etcd-ca", "etcd-ca")]
    {
        let verdict =
            openssl(dir.path(), &format!("verify -x509_strict -CAfile {file}.crt {file}.crt"))
                .await;
        assert_eq!(verdict, format!("{file}.crt: OK"));
        let text = openssl(dir.path(), &format!("x509 -in {file}.crt -noout -text")).await;
        for expected in [
            &format!("Subject: CN = {name}\n"),
            &format!("DNS:{name}\n"),
            "CA:TRUE",
            "Digital Signature, Key Encipherment, Certificate Sign\n",
            "NIST CURVE: P-256",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        let nine_years = 9 * 365 * 24 * 3600;
        openssl(dir.path(), &format!("x509 -in {file}.crt -noout -checkend {nine_years}")).await;
    }
    let public = openssl(dir.path(), "pkey -in sa.key -pubout").await;
    assert_eq!(public, std::fs::read_to_string(dir.path().join("sa.pub")).unwrap().trim_end());
}

#[test]
fn serial_numbers_differ_and_have_16_bytes() {
    let pki = Pki::generate().unwrap();
    let serial = |leaf: &Leaf| {
        let (_, pem) = x509_parser::pem::parse_x509_pem(&leaf.certificate).unwrap();
        pem.parse_x509().unwrap().raw_serial().to_vec()
    };
    let one = pki.serving_certificate(&["x".to_owned()], &[]).unwrap();
    let two = pki.serving_certificate(&["x".to_owned()], &[]).unwrap();
    assert_ne!(serial(&one), serial(&two));
    assert_eq!(serial(&one).len(), 16);
}

#[tokio::test]
async fn identity_is_what_kubeadm_calls_the_discovery_hash() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::generate().unwrap();
    std::fs::write(dir.path().join("ca.crt"), pki.ca_pem()).unwrap();
    openssl(dir.path(), "x509 -in ca.crt -pubkey -noout -out ca.pub").await;
    openssl(dir.path(), "pkey -pubin -in ca.pub -outform DER -out ca.der").await;
    let digest = openssl(dir.path(), "dgst -sha256 -r ca.der").await;
    let hex = digest.split_whitespace().next().unwrap();
    assert_eq!(pki.identity().as_str(), format!("sha256:{hex}"));
    assert_eq!(identity_of(pki.ca_pem()).unwrap(), pki.identity());
    let json = serde_json::to_string(&pki.identity()).unwrap();
    assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), pki.identity());
    assert!(serde_json::from_str::<Identity>("\"sha256:00\"").is_err());
}

#[tokio::test]
async fn a_kubeconfig_holds_an_administrators_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::generate().unwrap();
    let text = pki.kubeconfig("prod", "https://10.0.0.1:6443").unwrap();
    let config: serde_yaml::Value = serde_yaml::from_str(text.expose()).unwrap();
    assert_eq!(config["current-context"], "prod");
    assert_eq!(config["contexts"][0]["context"]["user"], "prod");
    assert_eq!(config["contexts"][0]["context"]["cluster"], "prod");
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://10.0.0.1:6443");
    let user = &config["users"][0]["user"];
    let cluster = &config["clusters"][0]["cluster"];
    for (file, value) in [
        ("ca.crt", &cluster["certificate-authority-data"]),
        ("a.crt", &user["client-certificate-data"]),
        ("a.key", &user["client-key-data"]),
    ] {
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
        std::fs::write(dir.path().join(file), bytes).unwrap();
    }
    let verify = "verify -x509_strict -purpose sslclient -CAfile ca.crt a.crt";
    assert_eq!(openssl(dir.path(), verify).await, "a.crt: OK");
    let subject = openssl(dir.path(), "x509 -in a.crt -noout -subject").await;
    assert_eq!(subject, "subject=O = kubeadm:cluster-admins, CN = kubernetes-admin");
    assert_eq!(
        openssl(dir.path(), "pkey -in a.key -pubout").await,
        openssl(dir.path(), "x509 -in a.crt -noout -pubkey").await
    );
}

#[tokio::test]
async fn a_serving_certificate_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::generate().unwrap();
    let names = ["metrics-server.kube-system.svc".to_owned()];
    let leaf = pki.serving_certificate(&names, &["10.0.0.9".parse().unwrap()]).unwrap();
    std::fs::write(dir.path().join("ca.crt"), pki.ca_pem()).unwrap();
    std::fs::write(dir.path().join("s.crt"), &leaf.certificate).unwrap();
    for name in ["-verify_hostname metrics-server.kube-system.svc", "-verify_ip 10.0.0.9"] {
        let line = format!("verify -x509_strict -purpose sslserver {name} -CAfile ca.crt s.crt");
        assert_eq!(openssl(dir.path(), &line).await, "s.crt: OK");
    }
    let key = Process::new("openssl").args(["pkey", "-pubout"]).stdin(leaf.key.expose().clone());
    assert_eq!(
        key.run().await.unwrap().text(),
        openssl(dir.path(), "x509 -in s.crt -noout -pubkey").await
    );
    assert!(pki.serving_certificate(&[], &[]).is_err());
}

#[test]
fn a_certificate_is_valid_within_its_dates_only() {
    let pki = Pki::generate().unwrap();
    let at = |time| check::Authority::parse(pki.ca_pem()).unwrap().at(time).map(|_| ());
    let now = time::OffsetDateTime::now_utc();
    assert!(at(now - time::Duration::minutes(50)).is_ok());
    assert!(at(now + time::Duration::days(3649)).is_ok());
    let message = |time| at(time).unwrap_err().message().to_owned();
    let late = message(now + time::Duration::days(3651));
    assert!(late.starts_with("it has expired: 20"), "{late}");
    let early = message(now - time::Duration::hours(2));
    assert!(early.starts_with("it is not valid before 20"), "{early}");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let other = files(&Pki::generate().unwrap());
    for (name, expected) in [
        ("ca.key", "`ca.key` is not the key of `ca.crt`"),
        ("front-proxy-ca.crt", "`front-proxy-ca.key` is not the key of `front-proxy-ca.crt`"),
        ("etcd/ca.key", "`etcd/ca.key` is not the key of `etcd/ca.crt`"),
        ("sa.pub", "`sa.key` is not the key of `sa.pub`"),
    ] {
        assert_eq!(message(read(&with(&[(name, other[name].clone())]))), expected);
    }
}

#[test]
fn missing_files_are_all_named() {
    let mut made = files(&Pki::generate().unwrap());
    made.remove("sa.key");
    made.remove("etcd/ca.crt");
    let expected = "the cluster's keys are incomplete: `etcd/ca.crt`, `sa.key` missing";
    assert_eq!(message(read(&made)), expected);
}

#[test]
fn rubbish_is_refused_and_nothing_panics() {
    let good = files(&Pki::generate().unwrap());
    for name in FILES {
        for rubbish in [&b""[..], b"-----BEGIN", b"\xff\xfe\x00", &[b'A'; MAX_BYTES + 1]] {
            assert!(read(&with(&[(name, rubbish.to_vec())])).is_err(), "{name}");
        }
        // Every file cut short, and with one byte of its middle changed.
        let bytes = &good[name];
        let mut files = good.clone();
        for at in (30..bytes.len() - 30).step_by(41) {
            files.insert(name, bytes[..at].to_vec());
            assert!(read(&files).is_err(), "{name} cut at {at}");
            files.insert(name, bytes.clone());
            files.get_mut(name).unwrap()[at] ^= 1;
            let _ = read(&files);
        }
    }
    assert!(identity_of(b"x").is_err());
}

#[test]
fn debug_shows_no_key() {
    let pki = Pki::generate().unwrap();
    let shown = format!("{pki:?} {:?}", pki.files());
    let key = String::from_utf8(pki.files()[1].content.expose().to_vec()).unwrap();
    assert!(!shown.contains("PRIVATE") && !shown.contains(key.lines().nth(1).unwrap()), "{shown}");
}
