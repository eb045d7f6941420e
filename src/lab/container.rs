//! The processes of a node: its container, and the supervisor that starts that.

use rustix::process::Pid;

use super::cgroup::{self, Group};
use super::spec::{Lab, Node};
use crate::diagnostic::{Error, Kind, Result};

/// The container's processes.
pub(super) fn group(lab: &Lab, node: &Node) -> Group {
    Group::of(&lab.name, &node.name)
}

/// The process that starts the container again when it restarts.
pub(super) fn supervisor(lab: &Lab, node: &Node) -> Group {
    Group::supervisor_of(&lab.name, &node.name)
}

/// Whether the node is switched on.
pub(super) fn running(lab: &Lab, node: &Node) -> bool {
    supervisor(lab, node).alive()
}

/// A node's first process.
///
/// # Errors
/// [`Kind::Usage`] when the node is off.
pub(super) fn init(lab: &Lab, node: &Node) -> Result<Pid> {
    group(lab, node).init().ok_or_else(|| {
        Error::new(Kind::Usage, format!("`{}` is off", node.name))
            .hint(format!("`slipway lab start --name {} {}`", lab.name, node.name))
    })
}

/// The systemd-nspawn that runs a node, whose first process is `init`.
///
/// # Errors
/// [`Kind::Machine`] when the node ends just now.
pub(super) fn runner(node: &Node, init: Pid) -> Result<Pid> {
    cgroup::parent(init)
        .ok_or_else(|| Error::new(Kind::Machine, format!("`{}` is going down", node.name)))
}
