//! The key file that an inventory names: a private key that is there, ours alone and usable without a
//! passphrase, or the public half of one that the SSH agent holds.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;

use super::read;
use super::source::Finding;
use super::syntax;
use super::tree::Node;

/// How the body of an OpenSSH private key begins when its cipher is `none` (PROTOCOL.key, base64).
const OPENSSH_PLAIN: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// What is wrong with the key file that `node` names; relative paths start at `dir`.
pub(super) fn check(node: &Node, dir: &Path) -> Option<Finding> {
    let written = node.text().filter(|text| (syntax::PATH.fault)(text).is_none())?;
    let path = read::path(written, dir)?;
    let shown = path.display();
    let (label, hint) = match fault(&path) {
        Ok(None) => return None,
        Ok(Some(fault)) => fault,
        Err(error) => (error.to_string(), None),
    };
    let finding = Finding::new(format!("cannot use the key file {shown}"), &node.span, label);
    Some(match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    })
}

/// Whether `line` is a public key as OpenSSH writes it: its type, then the key, which begins with its
/// type, too.
fn is_public(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let (Some(kind), Some(key)) = (words.next(), words.next()) else { return false };
    let Ok(key) = base64::engine::general_purpose::STANDARD.decode(key) else { return false };
    let length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_be_bytes();
    key.strip_prefix(&length).is_some_and(|rest| rest.starts_with(kind.as_bytes()))
}

fn fault(path: &Path) -> std::io::Result<Option<(String, Option<String>)>> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Ok(Some(("it is not a file".to_owned(), None)));
    }
    let mut text = Vec::new();
    File::open(path)?.take(64 << 10).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let body = lines.next().unwrap_or_default();
    let encrypted = if head.contains("BEGIN OPENSSH PRIVATE KEY") {
        !body.starts_with(OPENSSH_PLAIN)
    } else {
        head.contains("BEGIN ENCRYPTED") || body.contains("ENCRYPTED")
    };
    let mode = metadata.permissions().mode() & 0o777;
    Ok(if is_public(head) {
        // It chooses among the agent's keys; nobody needs to keep it from others.
        None
    } else if head.contains("PUBLIC KEY") {
        let hint = "`ssh-keygen -i -m PKCS8 -f FILE` shows it in OpenSSH's form";
        Some((
            "it is a public key in another form than OpenSSH's".to_owned(),
            Some(hint.to_owned()),
        ))
    } else if head.starts_with("ssh-") || head.starts_with("ecdsa-") || head.starts_with("sk-") {
        let hint = format!("`ssh-keygen -lf {}` must be able to read it", path.display());
        Some(("it is a public key that is not whole".to_owned(), Some(hint)))
    } else if !(head.starts_with("-----BEGIN ") && head.contains("PRIVATE KEY-----")) {
        Some(("it is not a private key".to_owned(), None))
    } else if mode & 0o077 != 0 {
        let hint = format!("chmod 600 {}", path.display());
        Some((format!("others may read or change it (mode {mode:04o})"), Some(hint)))
    } else if encrypted {
        let hint = format!(
            "add it to your SSH agent (`ssh-add`), and name its public half, {}.pub",
            path.display()
        );
        Some(("it needs a passphrase".to_owned(), Some(hint)))
    } else {
        None
    })
}
