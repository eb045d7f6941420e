//! Control groups: each node has its own in every hierarchy, and they are also the record of which
//! processes belong to the lab. A group cannot go stale as a file with a process id can.
//!
//! Works on cgroup v1, v2 and the hybrid of both; callers see no difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::files;
use super::wait::until;
use crate::diagnostic::Result;

/// One group by name, in all hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    parent: String,
    name: String,
}

/// The group of all that belongs to a lab.
fn top(lab: &str) -> String {
    format!("slipway-lab-{lab}")
}

impl Group {
    /// The group `name` of a lab.
    pub(super) fn of(lab: &str, name: &str) -> Self {
        Self { parent: top(lab), name: name.to_owned() }
    }

    /// The group of the process that starts the container of `node` again when it restarts.
    pub(super) fn supervisor_of(lab: &str, node: &str) -> Self {
        Self::of(lab, &format!("{node}.supervisor"))
    }

    /// Whether it is a supervisor's.
    pub(super) fn supervises(&self) -> bool {
        self.name.ends_with(".supervisor")
    }

    /// Makes the group, and gives its directories, for a process to enter.
    pub(super) fn make(&self) -> Result<Vec<PathBuf>> {
        let make = |root: PathBuf| {
            let parent = root.join(&self.parent);
            let dir = parent.join(&self.name);
            for (above, group) in [(&root, &parent), (&parent, &dir)] {
                files::make_dir(group)?;
                inherit(above, group);
            }
            Ok(dir)
        };
        hierarchies().into_iter().map(make).collect()
    }

    /// Whether any process is in it or below.
    pub(super) fn alive(&self) -> bool {
        !self.processes().is_empty()
    }

    /// All processes in it and below.
    pub(super) fn processes(&self) -> BTreeSet<i32> {
        let dirs = hierarchies().into_iter().map(|root| root.join(&self.parent).join(&self.name));
        dirs.flat_map(|dir| below(&dir)).flat_map(|dir| members(&dir)).collect()
    }

    /// The first process of the container that runs in it.
    pub(super) fn init(&self) -> Option<Pid> {
        let is_init = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            is_first_of_one_namespace(&status)
        };
        self.processes().into_iter().find(is_init).and_then(Pid::from_raw)
    }

    /// Ends everything in it at once, as a power cut does, and removes it.
    ///
    /// The container's first process goes first: the kernel then takes all others with it, and
    /// systemd-nspawn itself still tidies up after them.
    ///
    /// # Errors
    /// [`crate::diagnostic::Kind::Timeout`] when a process does not die.
    pub(super) async fn kill(&self) -> Result<()> {
        if let Some(pid) = self.init() {
            let _ = kill_process(pid, Signal::KILL);
            let timeout = Duration::from_secs(3);
            let _ = until("the container has ended", timeout, async || !self.alive()).await;
        }
        let gone = async || {
            for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
            self.remove()
        };
        until(&format!("all of {} has ended", self.name), Duration::from_secs(20), gone).await
    }

    /// Removes the group and all below it: false while one of them is in use.
    pub(super) fn remove(&self) -> bool {
        remove_tree(&self.parent, Some(&self.name))
    }
}

/// Removes what is left of a lab's groups, once they are empty.
pub(super) fn remove_lab(lab: &str) -> bool {
    remove_tree(&top(lab), None)
}

/// The groups that a lab has by name, whatever a record says.
pub(super) fn groups(lab: &str) -> Vec<Group> {
    let parent = top(lab);
    let names: BTreeSet<String> = hierarchies()
        .into_iter()
        .map(|root| root.join(&parent))
        .flat_map(|dir| {
            let names = files::entries(&dir).into_iter();
            names.filter(move |name| dir.join(name).is_dir()).collect::<Vec<_>>()
        })
        .collect();
    names.into_iter().map(|name| Group { parent: parent.clone(), name }).collect()
}

fn remove_tree(parent: &str, name: Option<&str>) -> bool {
    hierarchies()
        .into_iter()
        .map(|root| name.map_or_else(|| root.join(parent), |name| root.join(parent).join(name)))
        .flat_map(|dir| below(&dir).into_iter().rev())
        .all(|dir| fs::remove_dir(&dir).is_ok() || !dir.exists())
}

/// `dir` and every directory below it, parents first.
fn below(dir: &Path) -> Vec<PathBuf> {
    if !dir.is_dir() {
        return Vec::new();
    }
    let mut found = vec![dir.to_owned()];
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        found.extend(below(&entry.path()));
    }
    found
}

fn members(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

/// Gives a new group what it does not get by itself: on v1 the processors and memory that its
/// members may use, on v2 the controllers.
fn inherit(above: &Path, group: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let empty = fs::read_to_string(group.join(file)).is_ok_and(|text| text.trim().is_empty());
        if let Ok(text) = fs::read(above.join(file))
            && empty
        {
            let _ = fs::write(group.join(file), text);
        }
    }
    let clone = group.join("cgroup.clone_children");
    if group.join("cpuset.cpus").exists() && clone.exists() {
        let _ = fs::write(clone, "1");
    }
    let controllers = fs::read_to_string(above.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        // One by one: what this kernel does not delegate shall not keep back the others.
        let _ = fs::write(above.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Whether this machine has control groups that we may change.
pub(super) fn usable() -> bool {
    let roots = hierarchies();
    let writable = |root: &PathBuf| rustix::fs::access(root, rustix::fs::Access::WRITE_OK).is_ok();
    !roots.is_empty() && roots.iter().all(writable)
}

/// Where the hierarchies are mounted.
fn hierarchies() -> Vec<PathBuf> {
    parse_mounts(&fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

fn parse_mounts(mounts: &str) -> Vec<PathBuf> {
    let hierarchy = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        (kind == "cgroup" || kind == "cgroup2").then(|| PathBuf::from(path))
    };
    let found: BTreeSet<PathBuf> = mounts.lines().filter_map(hierarchy).collect();
    found.into_iter().collect()
}

/// The process that started `of`, or took it over.
pub(super) fn parent(of: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{}/status", of.as_raw_nonzero())).ok()?;
    let id = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    id.trim().parse().ok().and_then(Pid::from_raw)
}

/// Whether a process (its `/proc/PID/status`) is number 1 in a namespace directly below ours.
fn is_first_of_one_namespace(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    matches!(ids.split_whitespace().collect::<Vec<_>>().as_slice(), [_, "1"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_on_v1_and_v2() {
        let v1 = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                  cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                  cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(parse_mounts(v1).len(), 2);
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        assert_eq!(parse_mounts(v2), [PathBuf::from("/sys/fs/cgroup")]);
    }

    #[test]
    fn only_a_containers_first_process_is_its_init() {
        assert!(is_first_of_one_namespace("Name:\tsystemd\nNSpid:\t813\t1\n"));
        for other in ["NSpid:\t1\n", "NSpid:\t813\t17\n", "NSpid:\t813\t17\t1\n", ""] {
            assert!(!is_first_of_one_namespace(other), "{other}");
        }
    }
}
