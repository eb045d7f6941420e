//! What comes from elsewhere, made by `openssl`.

use super::*;

/// A CA made by `openssl`, whose key `convert` then writes in another form.
async fn authority_of(dir: &Path, key: &str, convert: &str) -> (Vec<u8>, Vec<u8>) {
    openssl(dir, &format!("genpkey {key} -out made.key")).await;
    openssl(
        dir,
        "req -x509 -new -key made.key -subj /O=Shipyard/CN=kubernetes -days 30 -out made.crt \
         -addext keyUsage=critical,keyCertSign,digitalSignature",
    )
    .await;
    openssl(dir, &format!("{convert} -in made.key -out final.key")).await;
    (bytes(dir, "made.crt"), bytes(dir, "final.key"))
}

#[tokio::test]
async fn keys_made_elsewhere_are_taken_and_can_sign() {
    const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
    for (key, convert) in [
        ("-algorithm RSA", "rsa -traditional"),
        ("-algorithm RSA", "pkey"),
        (P256, "ec"),
        (P384, "ec"),
        (P384, "pkey"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (crt, key) = authority_of(dir.path(), key, convert).await;
        let made = with(&[("ca.crt", crt), ("ca.key", key)]);
        let pki = read(&made).unwrap();
        assert_eq!(files(&pki), made, "{convert}: bytes are kept");
        let leaf = pki.serving_certificate(&["x".to_owned()], &[]).unwrap();
        std::fs::write(dir.path().join("leaf.crt"), leaf.certificate).unwrap();
        let line = "verify -x509_strict -CAfile made.crt leaf.crt";
        assert_eq!(openssl(dir.path(), line).await, "leaf.crt: OK");
        // The authority lasts 30 days, so no certificate below it lasts longer.
        let ends = |name| format!("x509 -in {name} -noout -enddate");
        let (leaf, ca) = (ends("leaf.crt"), ends("made.crt"));
        assert_eq!(openssl(dir.path(), &leaf).await, openssl(dir.path(), &ca).await);
    }
}

#[tokio::test]
async fn a_key_after_its_curve_is_found() {
    let dir = tempfile::tempdir().unwrap();
    openssl(dir.path(), "ecparam -name prime256v1 -genkey -out sa.key").await;
    openssl(dir.path(), "pkey -in sa.key -pubout -out sa.pub").await;
    let key = bytes(dir.path(), "sa.key");
    assert!(key.starts_with(b"-----BEGIN EC PARAMETERS"));
    read(&with(&[("sa.key", key), ("sa.pub", bytes(dir.path(), "sa.pub"))])).unwrap();
}

#[tokio::test]
async fn keys_that_kubeadm_refuses_are_refused() {
    const P521: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-521";
    for key in ["-algorithm ED25519", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", P521] {
        let dir = tempfile::tempdir().unwrap();
        let (crt, key) = authority_of(dir.path(), key, "pkey").await;
        let shown = message(read(&with(&[("ca.crt", crt), ("ca.key", key)])));
        assert_eq!(shown, "`ca.key`: it is no key that kubeadm accepts");
    }
}

#[test]
fn a_label_that_lies_is_refused() {
    let made = files(&Pki::generate().unwrap());
    let key = String::from_utf8(made["ca.key"].clone()).unwrap();
    let key = key.replace("PRIVATE KEY", "EC PRIVATE KEY").into_bytes();
    let shown = message(read(&with(&[("ca.crt", made["ca.crt"].clone()), ("ca.key", key)])));
    assert!(shown.contains("another format than its PEM label"), "{shown}");
}

#[tokio::test]
async fn certificates_that_are_no_valid_authority_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    openssl(dir.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k").await;
    let base = "req -x509 -new -key k -out c";
    for (options, expected) in [
        ("-subj /CN=a -addext basicConstraints=critical,CA:FALSE", "it is no CA's certificate"),
        ("-subj /CN=a -addext keyUsage=digitalSignature", "it is no CA's certificate"),
        ("-subj /CN=a+O=b -multivalue-rdn", "its subject has a form"),
    ] {
        openssl(dir.path(), &format!("{base} {options}")).await;
        let (crt, key) = (bytes(dir.path(), "c"), bytes(dir.path(), "k"));
        let shown = message(read(&with(&[("etcd/ca.crt", crt), ("etcd/ca.key", key)])));
        assert!(shown.starts_with(&format!("`etcd/ca.crt`: {expected}")), "{shown}");
    }
}
