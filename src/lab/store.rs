//! Where labs are recorded on this machine, and the lock that lets one command at a time change
//! them.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::files;
use super::spec::{Lab, Node};
use crate::diagnostic::{Error, Kind, Result};

/// Below this: one directory for each lab, and the host's settings as they were.
pub(super) const ROOT: &str = "/var/lib/slipway/labs";

/// A lab's directory.
pub(super) fn lab_dir(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// What belongs to all nodes.
pub(super) fn nodes_dir(lab: &Lab) -> PathBuf {
    lab_dir(&lab.name).join("nodes")
}

/// What belongs to one node: its disk, plain directories, and console.
pub(super) fn node_dir(lab: &Lab, node: &Node) -> PathBuf {
    nodes_dir(lab).join(&node.name)
}

/// Held while labs change. The kernel drops it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Takes a lock on a directory, made if need be; `None` when another holds it and `wait` is false.
fn take(dir: &Path, wait: bool) -> Result<Option<Lock>> {
    files::make_dir(dir)?;
    let failed = |e: &dyn std::fmt::Display| {
        Error::new(Kind::Machine, format!("cannot lock {}: {e}", dir.display()))
    };
    let file = File::open(dir).map_err(|e| failed(&e))?;
    let how =
        if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
    match flock(&file, how) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(failed(&e)),
    }
}

/// The lock over all labs of this machine. Waits for another command that has it, and says so.
pub(super) fn lock(say: &dyn Fn(&str)) -> Result<Lock> {
    let root = Path::new(ROOT);
    if let Some(lock) = take(root, false)? {
        return Ok(lock);
    }
    say("waiting for another `slipway lab` to finish");
    take(root, true)?.ok_or_else(|| Error::new(Kind::Bug, "a blocking lock did not block"))
}

/// The lock of one node's supervisor; `None` when there is one already.
pub(super) fn lock_node(lab: &Lab, node: &Node) -> Result<Option<Lock>> {
    take(&node_dir(lab, node), false)
}

/// The lab called `name`; `None` when there is none.
pub(super) fn load(name: &str) -> Result<Option<Lab>> {
    let path = lab_dir(name).join("lab.json");
    let Some(text) = files::read(&path)? else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| Error::new(Kind::Machine, format!("cannot read {}: {e}", path.display())))
}

/// The lab called `name`.
///
/// # Errors
/// [`Kind::Usage`] when there is none.
pub(super) fn require(name: &str) -> Result<Lab> {
    load(name)?.ok_or_else(|| {
        let there = names().join(", ");
        let hint = if there.is_empty() { "there is no lab".into() } else { there };
        Error::new(Kind::Usage, format!("no lab is called `{name}`"))
            .hint(format!("labs on this machine: {hint}"))
    })
}

/// Records a lab.
pub(super) fn save(lab: &Lab) -> Result<()> {
    let text = serde_json::to_string_pretty(lab)
        .map_err(|e| Error::new(Kind::Bug, format!("cannot record a lab: {e}")))?;
    files::write(&lab_dir(&lab.name).join("lab.json"), text + "\n", 0o600)
}

/// The names of all labs, half-made ones as well.
pub(super) fn names() -> Vec<String> {
    let mut names = files::entries(Path::new(ROOT));
    names.retain(|name| lab_dir(name).is_dir());
    names
}
