//! Files of the bundle under construction: copied with their digest checked, put in place whole.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::FileEntry;
use super::digest::sha256;
use super::go::Built;
use crate::diagnostic::{Error, Kind, Result};

/// Copies the program `source` of a component to `linux-ARCH/bin/NAME` below `dir`.
pub(super) fn program(
    dir: &Path,
    arch: &str,
    built: &Built,
    version: &str,
    source: &str,
) -> Result<FileEntry> {
    let name = source.trim_start_matches("bin/");
    let path = format!("linux-{arch}/bin/{name}");
    let target = dir.join(&path);
    let (mut reader, size) = built.open(source)?;
    let mut out = create(&target)?;
    reader.copy_to(&mut out)?;
    fs::set_permissions(&target, fs::Permissions::from_mode(0o755))
        .map_err(|e| unwritable(&target, &e))?;
    let sha256 = built.digest(source).map_or_else(String::new, |(digest, _)| digest.clone());
    Ok(FileEntry { name: name.to_owned(), version: version.to_owned(), path, size, sha256 })
}

/// Writes `data` to `path` below `dir` and gives its entry.
pub(super) fn data(
    dir: &Path,
    path: String,
    name: &str,
    version: &str,
    data: &[u8],
) -> Result<FileEntry> {
    let target = dir.join(&path);
    create(&target)?.write_all(data).map_err(|e| unwritable(&target, &e))?;
    let (name, version) = (name.to_owned(), version.to_owned());
    Ok(FileEntry { name, version, path, size: data.len() as u64, sha256: sha256(data) })
}

/// Puts a finished temporary file at `path`, readable by all.
pub(super) fn persist(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

fn create(path: &Path) -> Result<fs::File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
    }
    fs::File::create(path).map_err(|e| unwritable(path, &e))
}

pub(super) fn unwritable(path: &Path, e: &io::Error) -> Error {
    Error::new(Kind::Machine, format!("cannot write `{}`: {e}", path.display()))
}
