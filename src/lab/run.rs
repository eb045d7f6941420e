//! Starting processes that outlive us.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Child;

use super::cgroup::Group;
use super::files;
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// This program's path.
///
/// # Errors
/// [`Kind::Machine`] when it is not known.
pub(super) fn own_program() -> Result<String> {
    let path = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Machine, format!("cannot find slipway's program: {e}")))?;
    Ok(path.to_string_lossy().into_owned())
}

/// A process that enters a control group before it becomes `command`.
pub(super) fn enter(group: &Group, command: impl IntoIterator<Item = String>) -> Result<Process> {
    const ENTER: &str = "while [ \"$1\" != -- ]; do echo $$ >\"$1/cgroup.procs\" || exit; shift; \
                         done; shift; exec \"$@\"";
    let entering = Process::new("sh").args(["-c", ENTER, "sh"]).args(group.make()?);
    Ok(entering.arg("--").args(command))
}

/// Starts `command` in a control group and a session of its own: it outlives us and our terminal.
/// What it prints goes to `log`.
pub(super) fn detached(
    group: &Group,
    command: impl IntoIterator<Item = String>,
    log: &Path,
) -> Result<Child> {
    let failed = |e: std::io::Error| Error::new(Kind::Machine, format!("{}: {e}", log.display()));
    if let Some(dir) = log.parent() {
        files::make_dir(dir)?;
    }
    let output = std::fs::File::create(log).map_err(failed)?;
    let command = std::iter::once("setsid".to_owned()).chain(command);
    enter(group, command)?
        .dir("/")
        .into_inner()
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        .kill_on_drop(false)
        .spawn()
        .map_err(failed)
}
