//! Files of known hosts, as OpenSSH writes and reads them.

use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

fn ecdsa() -> String {
    let curve = EcdsaCurve::NistP256;
    let key =
        russh::keys::PrivateKey::random(&mut rand::rng(), Algorithm::Ecdsa { curve }).unwrap();
    key.public_key().to_openssh().unwrap()
}

fn ssh(host: &str, port: u16, file: &Path) -> Ssh {
    Ssh {
        host: host.to_owned(),
        port,
        user: "root".to_owned(),
        identity: None,
        known_hosts: file.to_owned(),
        host_key: None,
    }
}

/// The verdict on key A, shown by `host:port`, when the file holds `text`.
fn verdict(text: &str, host: &str, port: u16) -> Verdict {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    fs::write(&file, text).unwrap();
    HostKeys::load(&ssh(host, port, &file)).unwrap().judge(&PublicKey::from_openssh(A).unwrap())
}

#[test]
fn the_file_means_what_sshd_says() {
    let e = ecdsa();
    let hashed = hash("[cp-1]:2222");
    let cases: &[(&str, String, &str, u16, &str)] = &[
        ("plain", format!("cp-1 {A}"), "cp-1", 22, "trusted"),
        ("with a comment", format!("cp-1 {A} root@cp-1"), "cp-1", 22, "trusted"),
        (
            "tabs and indentation",
            format!("  cp-1\t{}", A.replace(' ', "\t")),
            "cp-1",
            22,
            "trusted",
        ),
        ("several names", format!("x,cp-1,y {A}"), "cp-1", 22, "trusted"),
        ("case", format!("CP-1 {A}"), "Cp-1", 22, "trusted"),
        ("another host", format!("cp-2 {A}"), "cp-1", 22, "unknown"),
        ("a prefix", format!("cp-11 {A}"), "cp-1", 22, "unknown"),
        ("a comment line", format!("# cp-1 {A}\n#cp-1 {A}"), "cp-1", 22, "unknown"),
        ("empty", String::new(), "cp-1", 22, "unknown"),
        ("a port", format!("[cp-1]:2222 {A}"), "cp-1", 2222, "trusted"),
        ("another port", format!("[cp-1]:2222 {A}"), "cp-1", 2223, "unknown"),
        ("a port, but none recorded", format!("cp-1 {A}"), "cp-1", 2222, "unknown"),
        ("IPv6 and a port", format!("[fd00::1]:2222 {A}"), "fd00::1", 2222, "trusted"),
        ("hashed", format!("{hashed} {A}"), "cp-1", 2222, "trusted"),
        ("hashed, another port", format!("{hashed} {A}"), "cp-1", 22, "unknown"),
        ("hashed and changed", format!("{hashed} {B}"), "cp-1", 2222, "rejected"),
        ("a star", format!("*.example.org {A}"), "a.b.example.org", 22, "trusted"),
        ("a question mark", format!("cp-? {A}"), "cp-1", 22, "trusted"),
        ("negated", format!("cp-*,!cp-1 {A}"), "cp-1", 22, "unknown"),
        ("negated for another", format!("cp-*,!cp-2 {A}"), "cp-1", 22, "trusted"),
        ("changed", format!("cp-1 {B}"), "cp-1", 22, "rejected"),
        ("one of two", format!("cp-1 {B}\ncp-1 {A}"), "cp-1", 22, "trusted"),
        ("only another type", format!("cp-1 {e}"), "cp-1", 22, "rejected"),
        ("another type and it", format!("cp-1 {e}\ncp-1 {A}"), "cp-1", 22, "trusted"),
        ("a line that cannot be read", "cp-1 ssh-ed25519 AAAA".to_owned(), "cp-1", 22, "rejected"),
        ("a line without a key", "cp-1".to_owned(), "cp-1", 22, "rejected"),
        ("unreadable for another", format!("cp-2 what\ncp-1 {A}"), "cp-1", 22, "trusted"),
        ("revoked", format!("cp-1 {A}\n@revoked * {A}"), "cp-1", 22, "rejected"),
        ("revoked for another", format!("@revoked cp-2 {A}\ncp-1 {A}"), "cp-1", 22, "trusted"),
        ("another key revoked", format!("@revoked cp-1 {B}"), "cp-1", 22, "unknown"),
        ("an authority", format!("@cert-authority * {A}"), "cp-1", 22, "unknown"),
        (
            "an authority and a key",
            format!("@cert-authority * {B}\ncp-1 {A}"),
            "cp-1",
            22,
            "trusted",
        ),
        ("an unknown marker", format!("@new cp-1 {A}"), "cp-1", 22, "unknown"),
    ];
    for (what, text, host, port, expected) in cases {
        let verdict = verdict(text, host, *port);
        let name = match verdict {
            Verdict::Trusted => "trusted",
            Verdict::Unknown(_) => "unknown",
            Verdict::Rejected(_) => "rejected",
        };
        assert_eq!(name, *expected, "{what}: {text}");
    }
}

#[test]
fn many_stars_take_no_time() {
    let (stars, name) = ("*a".repeat(500), "a".repeat(253));
    for (pattern, expected) in [("*a".repeat(200), true), (stars, false), ("*".repeat(900), true)] {
        assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), expected);
    }
    assert!(!glob(format!("{}b", "*a".repeat(200)).as_bytes(), name.as_bytes()));
}

#[test]
fn a_changed_key_shows_both_fingerprints_and_the_line() {
    let Verdict::Rejected(error) = verdict(&format!("# old\n\ncp-1 {B}"), "cp-1", 22) else {
        panic!()
    };
    let shown = error.to_string();
    for key in [A, B] {
        let print = PublicKey::from_openssh(key).unwrap().fingerprint(HashAlg::Sha256).to_string();
        assert!(shown.contains(&print), "{shown}");
    }
    assert!(shown.contains("known_hosts:3 has"), "{shown}");
    assert!(shown.contains("ssh-keygen -f"), "{shown}");
}

#[test]
fn an_authority_is_mentioned() {
    let Verdict::Unknown(question) = verdict(&format!("@cert-authority * {B}"), "cp-1", 22) else {
        panic!()
    };
    assert!(question.note.unwrap().contains("known_hosts:1 names an authority"));
}

#[test]
fn recorded_types_are_negotiated_first() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    fs::write(&file, format!("cp-1 {}", ecdsa())).unwrap();
    let keys = HostKeys::load(&ssh("cp-1", 22, &file)).unwrap();
    assert_eq!(keys.algorithms().len(), ALGORITHMS.len());
    assert_eq!(keys.algorithms()[0], Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = HostKeys::load(&ssh("cp-1", 22, dir.path())).unwrap_err();
    assert_eq!(error.kind(), Kind::Machine);
}

#[test]
fn a_pinned_key_overrides_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    fs::write(&file, format!("cp-1 {A}")).unwrap();
    let pin = |key: &str| {
        HostKeys::load(&Ssh { host_key: Some(key.to_owned()), ..ssh("cp-1", 22, &file) })
    };
    let offered = PublicKey::from_openssh(A).unwrap();
    assert!(matches!(pin(A).unwrap().judge(&offered), Verdict::Trusted));
    let Verdict::Rejected(error) = pin(B).unwrap().judge(&offered) else { panic!() };
    assert!(error.to_string().contains("the inventory has"), "{error}");
    assert_eq!(pin("ssh-ed25519 what").unwrap_err().kind(), Kind::Inventory);
}

#[test]
fn an_accepted_key_is_appended() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new/known_hosts");
    let offered = PublicKey::from_openssh(A).unwrap();
    let remember = |host| HostKeys::load(&ssh(host, 22, &file)).unwrap().remember(A).unwrap();
    let trusted = |host| {
        let keys = HostKeys::load(&ssh(host, 22, &file)).unwrap();
        matches!(keys.judge(&offered), Verdict::Trusted)
    };

    remember("cp-1");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("cp-1 {A}\n"));
    assert!(trusted("cp-1") && !trusted("cp-2"));

    // Without a newline at the end, and with hashed names.
    fs::write(&file, format!("{} {B}", hash("other"))).unwrap();
    remember("cp-2");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().count() == 2 && !text.contains("cp-2"), "{text}");
    assert!(trusted("cp-2"));
}

#[test]
fn hashes_are_those_of_ssh_keygen() {
    // From `ssh-keygen -H` on a file that names `[cp-1]:2222`.
    let theirs = "|1|M/bHI8aZlyygiX14/evfyc66YMo=|rA8WF3Kb3QDg7ML+ynRCmX/ydUI=";
    let patterns: HostPatterns = theirs.parse().unwrap();
    assert!(matches(&patterns, "[cp-1]:2222") && !matches(&patterns, "[cp-1]:2223"));
}
