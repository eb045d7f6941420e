//! A full disk: one file takes what is free on the node's own disk, and writes nothing into it.
//!
//! The disk is a sparse file of this machine's; reserving blocks in it takes no room here.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::diagnostic::{Error, Kind, Result};
use crate::lab::quantity::Size;
use crate::lab::spec::{Lab, Node};
use crate::lab::{container, disk, files};

/// The smallest part of a disk that a file can take.
const BLOCK: u64 = 4096;

/// Takes all that is free but `leave`.
pub(super) fn make(lab: &Lab, node: &Node, init: Pid, leave: Size) -> Result<()> {
    if node.disk.is_none() {
        let what = format!("`{}` has no disk of its own: it shares this machine's", node.name);
        return Err(Error::new(Kind::Usage, what)
            .hint("make the lab with a disk for each node: `slipway lab up --disk 10G`"));
    }
    let path = filler(lab, node, init)?;
    take(&path, leave).map_err(|e| {
        Error::new(Kind::Machine, format!("cannot fill the disk of `{}`: {e}", node.name))
    })
}

fn take(path: &Path, leave: Size) -> std::io::Result<()> {
    let file = File::create(path)?;
    let spare = || -> std::io::Result<u64> {
        let disk = statvfs(path)?;
        Ok((disk.f_bavail * disk.f_frsize).saturating_sub(leave.0))
    };
    let (mut taken, mut next) = (0, spare()?);
    while next >= BLOCK {
        match fallocate(&file, FallocateFlags::empty(), taken, next) {
            Ok(()) => taken += next,
            // The record of what a file has takes room as well.
            Err(Errno::NOSPC) => next /= 2,
            Err(e) => return Err(e.into()),
        }
        next = next.min(spare()?);
    }
    Ok(())
}

/// Gives the disk back.
pub(super) fn end(lab: &Lab, node: &Node) -> Result<()> {
    match there(lab, node) {
        Some(path) => files::remove(&path),
        None => Ok(()),
    }
}

/// Whether the disk was filled.
pub(super) fn found(lab: &Lab, node: &Node) -> bool {
    there(lab, node).is_some_and(|path| path.exists())
}

/// Where the file is or would be, while the disk is mounted.
fn there(lab: &Lab, node: &Node) -> Option<PathBuf> {
    node.disk?;
    filler(lab, node, container::init(lab, node).ok()?).ok()
}

/// The file as systemd-nspawn sees it: the disk is mounted for that process and the node alone.
fn filler(lab: &Lab, node: &Node, init: Pid) -> Result<PathBuf> {
    let runner = container::runner(node, init)?.as_raw_nonzero();
    let filler = disk::filler(lab, node);
    let below = filler.strip_prefix("/").unwrap_or(&filler);
    Ok(Path::new("/proc").join(runner.to_string()).join("root").join(below))
}
