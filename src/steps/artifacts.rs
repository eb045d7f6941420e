//! The bundle's files for nodes, as streams that are verified while they are read.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bundle::{Bundle, Package};
use crate::command::Stream;
use crate::diagnostic::{Error, Kind, Result};
use crate::resource::{self, File, Images, Packages};

/// A program of this machine that goes to nodes: slipway itself.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    sha256: String,
    size: u64,
    glibc: (u32, u32),
}

impl Program {
    /// The running program.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be read.
    pub fn running() -> Result<Self> {
        Self::read(&std::env::current_exe().map_err(unreadable)?)
    }

    /// The program at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let (sha256, size) = crate::bundle::sha256_file(path)?;
        let glibc = needed_glibc(&std::fs::read(path).map_err(unreadable)?);
        Ok(Self { path: path.to_owned(), sha256, size, glibc })
    }

    /// One that is nowhere, for tests.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self { path: PathBuf::from("/nonexistent"), sha256: "0".repeat(64), size: 0, glibc: (2, 0) }
    }

    /// Its digest (hexadecimal SHA-256).
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The oldest C library that it runs with.
    #[must_use]
    pub fn glibc(&self) -> (u32, u32) {
        self.glibc
    }

    pub(super) fn file(&self, target: &str) -> File {
        File::program(target, &self.sha256, Arc::new(self.clone()))
    }
}

fn unreadable(e: std::io::Error) -> Error {
    Error::new(Kind::Machine, format!("cannot read slipway itself: {e}"))
}

/// The newest of the symbol versions (`GLIBC_2.34`) that an ELF program asks for.
fn needed_glibc(program: &[u8]) -> (u32, u32) {
    const MARK: &[u8] = b"GLIBC_2.";
    let minor = |at: usize| -> Option<u32> {
        let digits: Vec<u8> = program
            .get(at + MARK.len()..)?
            .iter()
            .copied()
            .take_while(u8::is_ascii_digit)
            .take(3)
            .collect();
        std::str::from_utf8(&digits).ok()?.parse().ok()
    };
    let starts = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    (2, starts.filter_map(|(at, _)| minor(at)).max().unwrap_or(0))
}

impl Stream for Program {
    fn copy_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        std::io::copy(&mut std::fs::File::open(&self.path)?, out).map(drop)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

struct Binary {
    bundle: Arc<Bundle>,
    path: PathBuf,
    sha256: String,
    size: u64,
}

impl Stream for Binary {
    fn copy_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        copy_verified(&self.bundle, &self.path, &self.sha256, self.size, out)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn copy_verified(
    bundle: &Bundle,
    path: &Path,
    sha256: &str,
    size: u64,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut reader = bundle.open_verified(path, sha256, size).map_err(std::io::Error::other)?;
    std::io::copy(&mut reader, out).map(drop)
}

/// The bundle's program `name`, in `folder` of a node.
pub(super) fn program(bundle: &Arc<Bundle>, name: &str, folder: &str) -> Result<File> {
    let file = bundle.file(name)?;
    let binary = Binary {
        bundle: Arc::clone(bundle),
        path: file.path().to_owned(),
        sha256: file.sha256.to_owned(),
        size: file.size,
    };
    Ok(File::program(format!("{folder}/{name}"), file.sha256, Arc::new(binary)))
}

struct ImageArchive {
    bundle: Arc<Bundle>,
    names: Vec<String>,
}

impl ImageArchive {
    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

impl Stream for ImageArchive {
    fn copy_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        self.bundle.write_images(&self.names(), out).map_err(std::io::Error::other)
    }

    fn size(&self) -> u64 {
        self.bundle.archive_size(&self.names())
    }
}

/// The bundle's images `names`.
pub(super) fn images(bundle: &Arc<Bundle>, group: &'static str, names: &[&str]) -> Result<Images> {
    let want = names
        .iter()
        .map(|name| {
            let image = bundle.image(name)?;
            Ok(resource::Image {
                name: image.name.clone(),
                reference: image.reference.clone(),
                digest: image.digest.clone(),
            })
        })
        .collect::<Result<_>>()?;
    let bundle = Arc::clone(bundle);
    let archive = move |names: &[String]| {
        let archive = ImageArchive { bundle: Arc::clone(&bundle), names: names.to_vec() };
        Arc::new(archive) as Arc<dyn Stream>
    };
    Ok(Images::new(group, want, Arc::new(archive)))
}

struct PackageArchive {
    bundle: Arc<Bundle>,
    packages: Vec<Package>,
}

impl Stream for PackageArchive {
    fn copy_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut tar = tar::Builder::new(out);
        for package in &self.packages {
            let mut bytes = Vec::new();
            copy_verified(&self.bundle, &package.path, &package.sha256, package.size, &mut bytes)?;
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{}.deb", package.name), bytes.as_slice())?;
        }
        tar.finish()
    }

    fn size(&self) -> u64 {
        let entry = |package: &Package| 512 + package.size.next_multiple_of(512);
        1024 + self.packages.iter().map(entry).sum::<u64>()
    }
}

/// The bundle's packages for `release`; those for a virtual IP only where there is an `endpoint`.
pub(super) fn packages(bundle: &Arc<Bundle>, release: &str, endpoint: bool) -> Result<Packages> {
    let mut all = bundle.packages(release)?;
    all.retain(|package| endpoint || !package.endpoint);
    let offered = all
        .iter()
        .map(|p| resource::Package {
            name: p.name.clone(),
            version: p.version.clone(),
            dependency: p.dependency,
        })
        .collect();
    let bundle = Arc::clone(bundle);
    let archive = move |names: &[String]| {
        let packages = all.iter().filter(|p| names.contains(&p.name)).cloned().collect();
        Arc::new(PackageArchive { bundle: Arc::clone(&bundle), packages }) as Arc<dyn Stream>
    };
    Ok(Packages::new(offered, Arc::new(archive)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_read_from_the_program() {
        assert_eq!(needed_glibc(b"x\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_2."), (2, 34));
        let (major, minor) = Program::running().unwrap().glibc();
        assert!(major == 2 && (17..100).contains(&minor), "{major}.{minor}");
    }
}
