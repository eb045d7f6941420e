//! The machine's own settings that labs change, kept so that the last lab to go puts them back.
//!
//! Nodes have their own `net.*`, but `fs.*`, `kernel.*` and `vm.*` are shared with the machine below:
//! kubelet, systemd and whatever runs in a node may set them. Swap is shared as well, and off while
//! there are labs: a kubelet does not start with it, and a node has no right to turn it off.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{files, store};
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// What the machine was like before the first lab.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    /// A restart of the machine makes everything else here void.
    boot: String,
    sysctls: BTreeMap<PathBuf, String>,
    swaps: Vec<String>,
}

/// Shared settings: these trees, and the one that lets packets through to the nodes.
const TREES: [&str; 3] = ["/proc/sys/fs", "/proc/sys/kernel", "/proc/sys/vm"];
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Not settings: counters, actions, and what the kernel itself moves.
const SKIPPED: &[&str] = &[
    "/proc/sys/fs/binfmt_misc",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/perf_event_max_sample_rate",
    "/proc/sys/kernel/random",
    "/proc/sys/kernel/tainted",
    "/proc/sys/vm/compact_memory",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/vm/stat_refresh",
];

/// Limits that all nodes share and that Debian's defaults set for one machine.
const LIMITS: [(&str, u64); 2] = [
    ("/proc/sys/fs/inotify/max_user_instances", 8192),
    ("/proc/sys/fs/inotify/max_user_watches", 1_048_576),
];

fn record() -> PathBuf {
    Path::new(store::ROOT).join("host.json")
}

/// Records the settings unless that was done since the machine started, then sets what labs need.
///
/// # Errors
/// [`Kind::Machine`] or [`Kind::Command`] when a setting cannot be changed.
pub(super) async fn prepare() -> Result<()> {
    let boot = read("/proc/sys/kernel/random/boot_id");
    if load()?.is_none_or(|before| before.boot != boot) {
        let mut sysctls = BTreeMap::new();
        TREES.iter().for_each(|tree| collect(Path::new(tree), &mut sysctls));
        sysctls.insert(FORWARD.into(), read(FORWARD));
        let text = serde_json::to_string_pretty(&Before { boot, sysctls, swaps: swaps() })
            .map_err(|e| Error::new(Kind::Bug, format!("cannot record settings: {e}")))?;
        files::write(&record(), text, 0o600)?;
    }
    for (path, least) in LIMITS {
        if read(path).parse::<u64>().is_ok_and(|now| now < least) {
            set(Path::new(path), &least.to_string())?;
        }
    }
    if read(FORWARD) != "1" {
        set(Path::new(FORWARD), "1")?;
    }
    for swap in swaps() {
        Process::new("swapoff").arg(swap).run().await?;
    }
    Ok(())
}

/// Puts back every recorded setting that differs now, and forgets the record.
///
/// # Errors
/// [`Kind::Machine`] when a setting cannot be put back; the others are.
pub(super) async fn restore() -> Result<()> {
    let Some(before) = load()? else { return Ok(()) };
    let mut outcome = Ok(());
    if before.boot == read("/proc/sys/kernel/random/boot_id") {
        for (path, value) in &before.sysctls {
            if read(path) != *value {
                outcome = outcome.and(set(path, value));
            }
        }
        let now = swaps();
        for swap in before.swaps.iter().filter(|swap| !now.contains(swap)) {
            outcome = outcome.and(Process::new("swapon").arg(swap).run().await.map(drop));
        }
    }
    files::remove(&record())?;
    outcome
}

fn load() -> Result<Option<Before>> {
    // A record that cannot be read was cut short by a crash before anything was changed.
    Ok(files::read(&record())?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// A one-line file of the kernel's; empty when it cannot be read.
fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

fn set(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).map_err(|e| {
        Error::new(Kind::Machine, format!("cannot write `{value}` to {}: {e}", path.display()))
    })
}

fn collect(dir: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
        if SKIPPED.iter().any(|skipped| path == Path::new(skipped)) {
            continue;
        }
        if meta.is_dir() {
            collect(&path, into);
        } else if meta.permissions().mode() & 0o600 == 0o600
            && let Ok(value) = fs::read_to_string(&path)
        {
            into.insert(path, value.trim_end().to_owned());
        }
    }
}

fn swaps() -> Vec<String> {
    parse_swaps(&read("/proc/swaps"))
}

fn parse_swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_are_the_first_column_below_the_heading() {
        let text = "Filename Type Size Used Priority\n/dev/sda2 partition 9 0 -2\n";
        assert_eq!(parse_swaps(text), ["/dev/sda2"]);
        assert!(parse_swaps("Filename Type\n").is_empty());
    }

    #[test]
    fn settings_are_collected_and_counters_are_not() {
        let mut found = BTreeMap::new();
        collect(Path::new("/proc/sys/kernel"), &mut found);
        assert!(found.contains_key(Path::new("/proc/sys/kernel/panic")));
        assert!(!found.contains_key(Path::new("/proc/sys/kernel/ns_last_pid")));
        assert!(!found.contains_key(Path::new("/proc/sys/kernel/random/uuid")));
    }
}
