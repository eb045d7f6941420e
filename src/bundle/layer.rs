//! Image layers: deterministic tar archives, compressed with zstd.
//!
//! Equal content gives equal bytes: paths are sorted, every entry belongs to root, times are zero.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;

use super::Blob;
use super::digest::Hashing;
use super::go::Built;
use crate::diagnostic::{Error, Kind, Result};

/// Compression level of zstd: beyond it, time grows faster than size shrinks.
const LEVEL: i32 = 9;

/// Media type of the layers.
pub(super) const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// How layers are compressed, for recipes.
pub(super) fn recipe() -> String {
    format!("{LAYER_TYPE} {LEVEL}")
}

/// What is at a path of a layer.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A directory with this mode.
    Dir(u32),
    /// A file from a component.
    Built(Built, String, u32),
    /// A file with this content.
    Data(Vec<u8>, u32),
    /// A symbolic link.
    Symlink(String),
    /// A hard link to another path of the layer, which must sort before it.
    Link(String),
}

/// The content of a layer: what is at which path (relative, without a leading slash).
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    nodes: BTreeMap<String, Node>,
}

/// A layer that was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The compressed blob.
    pub blob: Blob,
    /// Digest of the uncompressed archive, as `sha256:…`.
    pub diff_id: String,
}

impl Layer {
    /// Puts `node` at `path`.
    pub(super) fn put(mut self, path: impl Into<String>, node: Node) -> Self {
        self.nodes.insert(path.into(), node);
        self
    }

    /// Puts a program of `built` at `path`.
    pub(super) fn program(self, path: &str, built: &Built, name: &str) -> Self {
        self.put(path, Node::Built(built.clone(), format!("bin/{name}"), 0o755))
    }

    /// Writes the blob below `blobs` (a directory), named by its digest.
    pub(super) fn write(&self, blobs: &Path) -> Result<Written> {
        let failed = |e: io::Error| Error::new(Kind::Machine, format!("cannot write a layer: {e}"));
        let file = tempfile::NamedTempFile::new_in(blobs).map_err(failed)?;
        let zstd = zstd::Encoder::new(Hashing::new(file), LEVEL).map_err(failed)?;
        let (zstd, diff, _) = self.tar(Hashing::new(zstd))?.finish();
        let (file, digest, size) = zstd.finish().map_err(failed)?.finish();
        super::files::persist(file, &blobs.join(&digest)).map_err(failed)?;
        let blob = Blob { digest: format!("sha256:{digest}"), size };
        Ok(Written { blob, diff_id: format!("sha256:{diff}") })
    }

    fn tar<W: Write>(&self, out: W) -> Result<W> {
        let mut tar = tar::Builder::new(out);
        let mut dirs = BTreeSet::new();
        for (path, node) in &self.nodes {
            for (end, _) in path.match_indices('/') {
                let dir = path.get(..end).unwrap_or_default();
                if !self.nodes.contains_key(dir) && dirs.insert(dir) {
                    append(&mut tar, dir, &Node::Dir(0o755))?;
                }
            }
            append(&mut tar, path, node)?;
        }
        tar.into_inner()
            .map_err(|e| Error::new(Kind::Machine, format!("cannot write a layer: {e}")))
    }
}

fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, node: &Node) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let mut data: Box<dyn Read> = Box::new(io::empty());
    let mut target = None;
    let (kind, mode) = match node {
        Node::Dir(mode) => (tar::EntryType::Directory, *mode),
        Node::Built(built, file, mode) => {
            let (reader, size) = built.open(file)?;
            header.set_size(size);
            data = Box::new(reader);
            (tar::EntryType::Regular, *mode)
        }
        Node::Data(bytes, mode) => {
            header.set_size(bytes.len() as u64);
            data = Box::new(bytes.as_slice());
            (tar::EntryType::Regular, *mode)
        }
        Node::Symlink(to) => {
            target = Some(to);
            (tar::EntryType::Symlink, 0o777)
        }
        Node::Link(to) => {
            target = Some(to);
            (tar::EntryType::Link, 0o755)
        }
    };
    header.set_entry_type(kind);
    header.set_mode(mode);
    let path = if kind.is_dir() { format!("{path}/") } else { path.to_owned() };
    let done = match target {
        Some(target) => tar.append_link(&mut header, &path, target),
        None => tar.append_data(&mut header, &path, data),
    };
    done.map_err(|e| Error::new(Kind::Machine, format!("cannot write a layer: {e}")).note(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Layer {
        Layer::default()
            .put("usr/bin/sh", Node::Symlink("dash".into()))
            .put("usr/bin/dash", Node::Data(b"dash".to_vec(), 0o755))
            .put("tmp", Node::Dir(0o1777))
    }

    #[test]
    fn equal_content_gives_equal_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (example().write(dir.path()), example().write(dir.path()));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!((&first.blob, &first.diff_id), (&second.blob, &second.diff_id));
        assert_eq!(super::super::sha256_file(&dir.path().join(first.blob.sha256())).unwrap(), {
            (first.blob.sha256().to_owned(), first.blob.size)
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn entries_are_sorted_rooted_and_timeless() {
        let tar = example().tar(Vec::new()).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let paths: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.header().mtime().unwrap(), 0);
                assert_eq!(entry.header().uid().unwrap(), 0);
                entry.path().unwrap().to_string_lossy().into_owned()
            })
            .collect();
        assert_eq!(paths, ["tmp/", "usr/", "usr/bin/", "usr/bin/dash", "usr/bin/sh"]);
    }
}
