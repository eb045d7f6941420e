//! Nodes on this machine, for trying and testing slipway without other machines.
//!
//! A node is a systemd-nspawn container: a real Debian with systemd and sshd, its own machine-id,
//! network namespace, control groups and disk (an overlay over a cached image). slipway treats it
//! as it would bare metal, by SSH and nothing else. Each lab has a bridge with NAT and a time
//! server on it.
//!
//! Nothing here asks "what did I do so far": every operation looks and makes what is missing, so
//! it also repairs what a crash or a restart of the machine left. What runs is told by control
//! groups, which the kernel keeps, not by files of process ids. Mounts are in the nodes' own mount
//! namespaces and end with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bundle::LATEST;
use crate::diagnostic::{Error, Kind, Result};

mod access;
mod cgroup;
mod container;
mod disk;
mod fault;
mod files;
mod host;
mod image;
mod machine;
mod network;
mod node;
pub mod quantity;
mod run;
mod snapshot;
pub mod spec;
mod store;
mod time;
mod wait;

pub use fault::{Fault, delay_line, inject, mend};
pub use node::supervise;
use quantity::Size;
pub use snapshot::{restore, snapshot, snapshots};
use spec::{Lab, Role};
use wait::until;

/// What a new lab gets, unless the user says otherwise.
const CONTROL_PLANES: u8 = 3;
const WORKERS: u8 = 2;

/// What `up` makes. For a lab that is there, `None` means *as it is*.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The lab's name.
    pub name: String,
    /// How many control planes (default 3).
    pub control_planes: Option<u8>,
    /// How many workers (default 2).
    pub workers: Option<u8>,
    /// Where the inventory goes (default `labs/NAME`).
    pub dir: Option<PathBuf>,
    /// Debian release of new control planes.
    pub release: String,
    /// Debian release of new workers, where it is another.
    pub worker_release: Option<String>,
    /// The size of new nodes' disks (default: they share this machine's).
    pub disk: Option<Size>,
    /// Kubernetes version for the inventory (default: the newest).
    pub kubernetes: Option<String>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its SSH server answers.
    Up,
    /// Switched on, and no SSH server answers.
    Silent,
    /// Switched off.
    Off,
}

/// How a node is, and what was done to it.
#[derive(Debug)]
pub struct Condition {
    /// Whether it answers.
    pub state: State,
    /// Its faults, each as the words of the command that brings it about: `loss 5%`.
    pub faults: Vec<String>,
}

/// Makes a lab, or repairs the one there is and ends its faults, until every node answers by SSH.
///
/// # Errors
/// [`Kind::Machine`] when this machine lacks something; [`Kind::Usage`] for what cannot be made;
/// [`Kind::Command`] and [`Kind::Timeout`] for what failed.
pub async fn up(wanted: &Wanted, say: &dyn Fn(&str)) -> Result<Lab> {
    spec::check_name("a lab", &wanted.name)?;
    machine::check().await?;
    let _lock = store::lock(say)?;
    let mut lab = planned(wanted, say).await?;
    // From here on `down` knows what to remove.
    store::save(&lab)?;
    host::prepare().await?;
    let key = access::key(&lab).await?;
    for node in &lab.nodes {
        disk::make(&lab, node, &key).await?;
    }
    if !access::write(&mut lab)? {
        say(&format!("{} was changed by hand and stays", inventory_path(&lab).display()));
    }
    network::make(&lab).await?;
    time::start(&lab).await?;
    for node in &lab.nodes {
        fault::end(&lab, node).await?;
    }
    boot(&lab, say).await?;
    Ok(lab)
}

/// Switches all nodes on, and waits until each answers.
async fn boot(lab: &Lab, say: &dyn Fn(&str)) -> Result<()> {
    let off = lab.nodes.iter().filter(|node| !container::running(lab, node)).count();
    if off > 0 {
        say(&format!("starting {off} of {} nodes", lab.nodes.len()));
    }
    // All are switched on before the first is waited for: they boot side by side.
    for node in &lab.nodes {
        node::start(lab, node).await?;
    }
    for node in &lab.nodes {
        node::answers(lab, node).await?;
    }
    Ok(())
}

/// The desired lab, with images for all of its nodes.
async fn planned(wanted: &Wanted, say: &dyn Fn(&str)) -> Result<Lab> {
    let mut lab = match store::load(&wanted.name)? {
        Some(lab) => lab,
        None => fresh(wanted).await?,
    };
    let fresh = lab.nodes.is_empty();
    let default_version = fresh.then(|| LATEST.to_owned());
    if let Some(version) = wanted.kubernetes.clone().or(default_version) {
        lab.kubernetes = version;
    }
    if let Some(dir) = &wanted.dir
        && absolute(dir)? != lab.dir
    {
        let at = format!("lab `{}` has its inventory in {}", lab.name, lab.dir.display());
        return Err(Error::new(Kind::Usage, at).hint("leave out --dir"));
    }
    for node in lab.nodes.iter().filter(|node| !node.image.is_dir()) {
        // The cache may be emptied at any time; the same recipe gives the same place.
        image::again(&node.image, say).await?;
    }
    let worker_release = wanted.worker_release.as_ref().unwrap_or(&wanted.release);
    for (role, count, default, release) in [
        (Role::ControlPlane, wanted.control_planes, CONTROL_PLANES, &wanted.release),
        (Role::Worker, wanted.workers, WORKERS, worker_release),
    ] {
        let have = lab.count(role);
        let count = count.unwrap_or(if fresh { default } else { have });
        if role == Role::ControlPlane && count == 0 {
            return Err(Error::new(Kind::Usage, "a lab needs at least one control plane"));
        }
        if count != have {
            lab.grow(role, count, &image::ensure(release, say).await?, wanted.disk)?;
        }
    }
    Ok(lab)
}

/// A new lab, with a network of its own.
async fn fresh(wanted: &Wanted) -> Result<Lab> {
    let others = store::names()
        .iter()
        .filter_map(|name| store::load(name).transpose())
        .collect::<Result<Vec<_>>>()?;
    let dir = wanted.dir.clone().unwrap_or_else(|| Path::new("labs").join(&wanted.name));
    Ok(Lab {
        name: wanted.name.clone(),
        index: network::free_index(&others).await?,
        dir: absolute(&dir)?,
        kubernetes: String::new(),
        inventory: String::new(),
        nodes: Vec::new(),
    })
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::path::absolute(dir)
        .map_err(|e| Error::new(Kind::Usage, format!("bad directory {}: {e}", dir.display())))
}

/// The inventory that `up` writes.
#[must_use]
pub fn inventory_path(lab: &Lab) -> PathBuf {
    lab.dir.join(access::INVENTORY)
}

/// The lab called `name`, and how each of its nodes is.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab.
pub async fn status(name: &str) -> Result<(Lab, Vec<Condition>)> {
    let lab = store::require(name)?;
    let mut conditions = Vec::new();
    for node in &lab.nodes {
        let state = match container::running(&lab, node) {
            false => State::Off,
            true if node::speaks(node).await => State::Up,
            true => State::Silent,
        };
        conditions.push(Condition { state, faults: fault::found(&lab, node).await? });
    }
    Ok((lab, conditions))
}

/// Names of all labs.
#[must_use]
pub fn names() -> Vec<String> {
    store::names()
}

/// Runs `command` on a node (`NODE` or `USER@NODE`), or a login shell; gives its exit code.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab or node.
pub async fn ssh(name: &str, target: &str, command: &[String]) -> Result<i32> {
    let lab = store::require(name)?;
    let (user, node) = target.split_once('@').unwrap_or(("root", target));
    let address = lab.node(node)?.address;
    access::ssh(&lab).arg(format!("{user}@{address}")).args(command).interactive().await
}

/// Cuts a node's power. Its disk stays.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab or node; [`Kind::Timeout`] when it does not die.
pub async fn kill(name: &str, node: &str, say: &dyn Fn(&str)) -> Result<()> {
    let _lock = store::lock(say)?;
    let lab = store::require(name)?;
    node::kill(&lab, lab.node(node)?).await
}

/// Switches a node on, and waits until it answers.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab or node; [`Kind::Timeout`] when it does not answer.
pub async fn start(name: &str, node: &str, say: &dyn Fn(&str)) -> Result<()> {
    let _lock = store::lock(say)?;
    let lab = store::require(name)?;
    let node = lab.node(node)?;
    node::start(&lab, node).await?;
    node::answers(&lab, node).await
}

/// Restarts a node in an orderly way, and waits until it answers.
///
/// # Errors
/// As [`start`]; [`Kind::Usage`] also when the node is off.
pub async fn reboot(name: &str, node: &str, say: &dyn Fn(&str)) -> Result<()> {
    let _lock = store::lock(say)?;
    let lab = store::require(name)?;
    node::reboot(&lab, lab.node(node)?).await
}

/// Removes a lab and everything of it, half-made or whole; no such lab is as good. With the last
/// lab, the machine's settings become what they were.
///
/// # Errors
/// [`Kind::Timeout`], [`Kind::Command`] or [`Kind::Machine`] when something cannot be removed.
pub async fn down(name: &str, say: &dyn Fn(&str)) -> Result<()> {
    spec::check_name("a lab", name)?;
    let _lock = store::lock(say)?;
    let lab = store::load(name)?;
    // Supervisors first, so that nothing starts again.
    let (supervisors, others): (Vec<_>, Vec<_>) =
        cgroup::groups(name).into_iter().partition(cgroup::Group::supervises);
    for group in supervisors.iter().chain(&others) {
        group.kill().await?;
    }
    let timeout = Duration::from_secs(20);
    until("the lab's control groups are gone", timeout, async || cgroup::remove_lab(name)).await?;
    if let Some(lab) = &lab {
        for node in &lab.nodes {
            node::tidy(lab, node);
            fault::end(lab, node).await?;
            disk::released(lab, node).await?;
        }
        time::stop(lab).await?;
        network::remove(lab).await?;
        access::remove(lab)?;
        files::remove(&store::nodes_dir(lab))?;
    }
    // The record goes last: until then, `down` can be run again.
    files::remove(&store::lab_dir(name))?;
    if store::names().is_empty() { host::restore().await } else { Ok(()) }
}
