//! The private key that an inventory names: is it there, ours alone, and usable without a
//! passphrase?

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::resolve;
use super::source::Finding;
use super::syntax;
use super::tree::Node;

/// How the body of an OpenSSH private key begins when its cipher is `none` (PROTOCOL.key, base64).
const OPENSSH_PLAIN: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// What is wrong with the key file that `node` names; relative paths start at `dir`.
pub(super) fn check(node: &Node, dir: &Path) -> Option<Finding> {
    let written = node.text().filter(|text| (syntax::PATH.fault)(text).is_none())?;
    let path = resolve::path(written, dir)?;
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
    Ok(if head.starts_with("ssh-") || head.starts_with("ecdsa-") || head.contains("PUBLIC KEY") {
        let private = path.with_extension("");
        let hint = format!("the private key should be {}", private.display());
        Some(("it is a public key".to_owned(), (private != path).then_some(hint)))
    } else if !(head.starts_with("-----BEGIN ") && head.contains("PRIVATE KEY-----")) {
        Some(("it is not a private key".to_owned(), None))
    } else if mode & 0o077 != 0 {
        let hint = format!("chmod 600 {}", path.display());
        Some((format!("others may read or change it (mode {mode:04o})"), Some(hint)))
    } else if encrypted {
        let hint = "add it to your SSH agent (`ssh-add`), and leave `identityFile` out";
        Some(("it needs a passphrase".to_owned(), Some(hint.to_owned())))
    } else {
        None
    })
}
