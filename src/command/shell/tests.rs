//! Who is asked, as whom, and that nothing of it stays.

use std::fs::{read_to_string, write};
use std::os::unix::fs::{PermissionsExt, symlink};

/// As kubeadm writes it, and as `kubectl config` leaves it: sorted by name.
const CONF: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: b3RoZXIK
    server: https://192.0.2.1:6443
  name: another
- cluster:
    certificate-authority-data: Y2EK
    server: https://10.0.0.5:6443
  name: prod
contexts:
- context:
    cluster: another
    user: alice
  name: alice@another
- context:
    cluster: prod
    user: kubernetes-admin
  name: kubernetes-admin@prod
current-context: kubernetes-admin@prod
kind: Config
users:
- name: alice
  user:
    client-certificate-data: YWxpY2UK
    client-key-data: YWxpY2UK
- name: kubernetes-admin
  user:
    client-certificate-data: Y2VydGlmaWNhdGUK
    client-key-data: a2V5Cg==
";

const CURL: &str = r#"#!/bin/sh
printf '%s\n' "$@" >asked
while [ "$1" != --cert ]; do shift; done
cat "$2" >pem
printf '{"kind":"X"}\n\n200.0\n'
"#;

const KUBECTL: &str = r#"#!/bin/sh
printf '%s ' "$@" >>asked
case "$*" in
  */gone) echo 'Error from server (NotFound): the server could not find it' >&2; exit 1 ;;
  */silent) exit 1 ;;
  *) echo '{"kind":"X"}' ;;
esac
"#;

/// What `text` prints, where these programs of ours are beside those that it needs.
#[expect(clippy::disallowed_methods, reason = "asks a real shell")]
fn said(dir: &std::path::Path, programs: &[(&str, &str)], text: &str) -> String {
    write(dir.join("admin.conf"), CONF).unwrap();
    let path = std::env::var("PATH").unwrap();
    for name in ["sh", "awk", "base64", "cat", "mktemp", "rm"] {
        let real = path.split(':').map(|folder| format!("{folder}/{name}"));
        let real = real.into_iter().find(|file| std::path::Path::new(file).exists()).unwrap();
        symlink(real, dir.join(name)).unwrap();
    }
    for (name, program) in programs {
        write(dir.join(name), program).unwrap();
        std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let text = format!("{}{text}", api!())
        .replace("/etc/kubernetes/admin.conf", "./admin.conf")
        .replace("/run/slipway-api", "./api");
    let mut sh = std::process::Command::new(dir.join("sh"));
    let out = sh.args(["-c", &text]).current_dir(dir).env("PATH", dir).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_current_contexts_cluster_is_asked_as_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = "api /a '/b?c=d'; object /a; echo $?";
    let said = said(dir, &[("curl", CURL)], text);
    assert_eq!(said, "{\"kind\":\"X\"}\n\n200.0\n{\"kind\":\"X\"}\n\n0\n");
    let asked = read_to_string(dir.join("asked")).unwrap();
    assert!(asked.ends_with("\nhttps://10.0.0.5:6443/a\n"), "{asked}");
    assert!(!asked.contains("certificate\n") && !asked.contains("a2V5"), "{asked}");
    assert_eq!(read_to_string(dir.join("pem")).unwrap(), "certificate\nkey\nca\n");
    let left = std::fs::read_dir(dir).unwrap();
    let keys =
        left.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().starts_with("api"));
    assert_eq!(keys.count(), 0, "keys are left");
}

#[test]
fn without_curl_kubectl_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let text = "server=https://own:6443; api /a /gone /silent /never; object /gone || echo none";
    let said = said(dir.path(), &[("kubectl", KUBECTL)], text);
    assert_eq!(said, "{\"kind\":\"X\"}\n200.0\n404.0\n000.1\nnone\n");
    let asked = read_to_string(dir.path().join("asked")).unwrap();
    assert!(asked.contains("--server https://own:6443 ") && !asked.contains("never"), "{asked}");
}
