//! Snapshots of a whole lab: copies of all nodes' disks, taken while every node is off.
//!
//! What is beside the inventory is the user's, and no part of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::spec::{self, Lab};
use super::{boot, fault, files, node, store};
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// A copy that is not finished. No snapshot can have this name.
const UNFINISHED: &str = ".unfinished";

fn dir(lab: &Lab) -> PathBuf {
    store::lab_dir(&lab.name).join("snapshots")
}

/// The snapshots of a lab.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab.
pub fn snapshots(name: &str) -> Result<Vec<String>> {
    Ok(of(&store::require(name)?))
}

fn of(lab: &Lab) -> Vec<String> {
    let mut names = files::entries(&dir(lab));
    names.retain(|name| name != UNFINISHED);
    names
}

/// Shuts all nodes down, copies their disks, and starts them again. An older snapshot of this name
/// is replaced.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab, or for what cannot be a name; [`Kind::Timeout`] when
/// a node does not shut down or does not answer; [`Kind::Command`] when the copy fails.
pub async fn snapshot(name: &str, snapshot: &str, say: &dyn Fn(&str)) -> Result<()> {
    spec::check_name("a snapshot", snapshot)?;
    let _lock = store::lock(say)?;
    let lab = store::require(name)?;
    for node in &lab.nodes {
        fault::end(&lab, node).await?;
        node::power_off(&lab, node)?;
    }
    for node in &lab.nodes {
        node::is_off(&lab, node).await?;
    }
    copy(&lab, &store::nodes_dir(&lab), &dir(&lab).join(snapshot)).await?;
    boot(&lab, say).await
}

/// Cuts the power of `only` these nodes (none: of all), puts a snapshot's disks in the place of
/// theirs, and starts them.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab, node or snapshot, or the lab has other nodes than then;
/// [`Kind::Timeout`] when a node does not answer; [`Kind::Command`] when the copy fails.
pub async fn restore(
    name: &str,
    snapshot: &str,
    only: &[String],
    say: &dyn Fn(&str),
) -> Result<()> {
    let _lock = store::lock(say)?;
    let lab = store::require(name)?;
    let there = of(&lab);
    if !there.iter().any(|name| name == snapshot) {
        let what = format!("lab `{name}` has no snapshot `{snapshot}`");
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        return Err(Error::new(Kind::Usage, what).hint(format!("its snapshots: {there}")));
    }
    let disks = dir(&lab).join(snapshot);
    let then: BTreeSet<String> = files::entries(&disks).into_iter().collect();
    let now: BTreeSet<String> = lab.nodes.iter().map(|node| node.name.clone()).collect();
    if then != now {
        let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        let what = format!("snapshot `{snapshot}` is of {}; the lab has {}", list(then), list(now));
        return Err(Error::new(Kind::Usage, what).hint("a snapshot is restored to the same nodes"));
    }
    let only: Vec<_> = only.iter().map(|name| lab.node(name)).collect::<Result<_>>()?;
    for node in lab.nodes.iter().filter(|node| only.is_empty() || only.contains(node)) {
        node::kill(&lab, node).await?;
        copy(&lab, &disks.join(&node.name), &store::node_dir(&lab, node)).await?;
    }
    boot(&lab, say).await
}

/// Puts a copy of `from` in the place of `to`, once it is whole.
async fn copy(lab: &Lab, from: &Path, to: &Path) -> Result<()> {
    let unfinished = dir(lab).join(UNFINISHED);
    files::remove(&unfinished)?;
    files::make_dir(&dir(lab))?;
    let faithful = ["--archive", "--reflink=auto", "--no-target-directory"];
    Process::new("cp").args(faithful).args([from, &unfinished]).run().await?;
    files::remove(to)?;
    files::rename(&unfinished, to)
}
