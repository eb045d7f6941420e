//! What a cluster is made of: binaries, images, packages and manifests, pinned by digest.
//!
//! A bundle is a directory for one Kubernetes version and one architecture:
//!
//! ```text
//! manifest.json             every file, image, add-on and package, with size and sha256
//! linux-amd64/bin/NAME      binaries for nodes
//! blobs/sha256/DIGEST       layers, configurations and manifests of all images, each once
//! manifests/NAME.yaml       add-ons, naming the images above
//! packages/debian-12/*.deb  what nodes need, and all that it needs, but for essential packages
//! ```
//!
//! [`build()`] makes it from Go modules and Debian packages; [`Bundle`] reads it, and hands out no
//! byte whose digest it has not checked.

mod agent;
mod archive;
mod base;
mod build;
mod debian;
mod digest;
mod files;
mod go;
mod image;
mod layer;
pub mod lock;
mod manifest;
mod recipe;
#[cfg(test)]
mod sample;

use std::fs;
use std::path::{Path, PathBuf};

pub use self::agent::AGENT_IMAGE;
pub use self::build::{Progress, Request, build, build_component};
pub use self::digest::{Verified, sha256_file};
pub use self::manifest::{
    Addon, BasePackage, Blob, FileEntry, Image, Manifest, PackageEntry, SCHEMA,
};
use crate::diagnostic::{Error, Kind, Result};

/// The Kubernetes versions that there are bundles for, newest first. The table of versions is
/// `recipe.rs`; everything else asks it (scripts by `slipway bundle versions`).
pub const VERSIONS: &[&str] = &recipe::VERSIONS;

/// The Kubernetes version that a cluster runs unless its inventory says otherwise.
pub const LATEST: &str = {
    let [newest, ..] = recipe::VERSIONS;
    newest
};

/// A bundle on disk, its manifest read and checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    dir: PathBuf,
    manifest: Manifest,
    digest: String,
}

/// A binary of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File<'a> {
    /// The name of the program.
    pub name: &'a str,
    /// Its component's version, without a leading `v`.
    pub version: &'a str,
    /// Digest, in hexadecimal.
    pub sha256: &'a str,
    /// Bytes.
    pub size: u64,
    path: PathBuf,
}

impl File<'_> {
    /// Where it is, as an absolute path if the bundle was opened by one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A distribution package of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its version, as the distribution writes it.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Whether only a virtual IP needs it, so only control planes.
    pub endpoint: bool,
    /// Whether it is there for other packages only, which depend on it.
    pub dependency: bool,
    /// Where the `.deb` is.
    pub path: PathBuf,
    /// Digest, in hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

impl Bundle {
    /// Reads the bundle in `dir`. Only the manifest is looked at; every other file is verified when
    /// it is read, or by [`Bundle::verify`].
    ///
    /// # Errors
    /// [`Kind::Machine`] when there is no bundle, or one that this slipway does not understand.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("manifest.json");
        let text = fs::read(&path).map_err(|e| {
            Error::new(Kind::Machine, format!("no bundle at `{}`: {e}", dir.display()))
                .hint("make one with `slipway bundle build`")
        })?;
        let manifest =
            Manifest::parse(&text).map_err(|e| e.context(format!("`{}`", path.display())))?;
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        Ok(Self { dir, manifest, digest: digest::sha256(&text) })
    }

    /// Where [`build()`] puts the bundle of a Kubernetes version (`1.37.2`) and architecture
    /// (`amd64`) unless told otherwise.
    #[must_use]
    pub fn locate(kubernetes: &str, arch: &str) -> PathBuf {
        crate::cache::dir().join("bundles").join(format!("{kubernetes}-{arch}"))
    }

    /// The directory, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything that is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's own SHA-256, in hexadecimal: as it names every content by digest, it stands
    /// for the whole bundle.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The binary called `name`, such as `kubelet`. Its content is not checked here: read it with
    /// [`Bundle::open_verified`].
    ///
    /// # Errors
    /// [`Kind::Bug`] when the bundle has none of that name.
    pub fn file(&self, name: &str) -> Result<File<'_>> {
        let entry = self.manifest.files.iter().find(|f| f.name == name);
        let entry = entry.ok_or_else(|| self.lacks("file", name))?;
        Ok(File {
            name: &entry.name,
            version: &entry.version,
            sha256: &entry.sha256,
            size: entry.size,
            path: self.dir.join(&entry.path),
        })
    }

    /// The image with the short name `name`, such as `kube-apiserver`.
    ///
    /// # Errors
    /// [`Kind::Bug`] when the bundle has none of that name.
    pub fn image(&self, name: &str) -> Result<&Image> {
        let image = self.manifest.images.iter().find(|i| i.name == name);
        image.ok_or_else(|| self.lacks("image", name))
    }

    /// All images.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.manifest.images
    }

    /// The add-on `name` (`calico`, `metrics-server`) as YAML text, verified. What it leaves to the
    /// caller is written on top of the file.
    ///
    /// # Errors
    /// [`Kind::Bug`] when the bundle has none of that name; [`Kind::Machine`] when it cannot be
    /// read or is not what the manifest says.
    pub fn addon(&self, name: &str) -> Result<String> {
        let entry = self.manifest.addons.iter().find(|a| a.name == name);
        let entry = entry.ok_or_else(|| self.lacks("add-on", name))?;
        let path = self.dir.join(&entry.path);
        let mut text = String::new();
        let mut reader = Verified::open(&path, &entry.sha256, entry.size)?;
        std::io::Read::read_to_string(&mut reader, &mut text)
            .map_err(|e| digest::unreadable(&path, &e))?;
        Ok(text)
    }

    /// The packages for nodes with `release` (`debian-12`): closed over Debian's essential ones, so
    /// that whatever a node lacks is among them.
    ///
    /// # Errors
    /// [`Kind::Preflight`] when the bundle has nothing for that release.
    pub fn packages(&self, release: &str) -> Result<Vec<Package>> {
        let all = self.manifest.packages.iter();
        let found: Vec<Package> = all
            .filter(|p| p.release == release)
            .map(|p| Package {
                name: p.name.clone(),
                version: p.version.clone(),
                architecture: p.architecture.clone(),
                endpoint: p.endpoint,
                dependency: p.dependency,
                path: self.dir.join(&p.path),
                sha256: p.sha256.clone(),
                size: p.size,
            })
            .collect();
        if found.is_empty() {
            return Err(Error::new(Kind::Preflight, format!("no packages for `{release}`"))
                .note(format!("the bundle at {} has none", self.dir.display())));
        }
        Ok(found)
    }

    /// A reader of a bundle's file (from [`Bundle::file`] or [`Bundle::packages`]), which fails
    /// instead of giving the last bytes when the content differs from the manifest.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be opened or has another size.
    pub fn open_verified(&self, path: &Path, sha256: &str, size: u64) -> Result<Verified> {
        Verified::open(path, sha256, size)
    }

    /// Hashes every file again, calling `each` with the path of every one that was looked at.
    ///
    /// # Errors
    /// [`Kind::Machine`], naming every file that is missing or differs.
    pub fn verify(&self, each: &mut dyn FnMut(&Path)) -> Result<()> {
        let mut wrong = Vec::new();
        for (path, sha256, size) in self.manifest.contents() {
            let path = self.dir.join(path);
            if let Err(e) = Verified::open(&path, sha256, size).and_then(Verified::drain) {
                wrong.push(e.message().to_owned());
            }
            each(&path);
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let error = Error::new(Kind::Machine, format!("{} files are not as built", wrong.len()));
        Err(wrong.iter().fold(error, Error::note).hint("remove the bundle and build it again"))
    }

    /// Whether every file is there with its size; digests are not looked at.
    fn is_complete(&self) -> bool {
        self.manifest.contents().all(|(path, _, size)| {
            fs::metadata(self.dir.join(path)).is_ok_and(|found| found.len() == size)
        })
    }

    fn lacks(&self, what: &str, name: &str) -> Error {
        Error::new(Kind::Bug, format!("the bundle has no {what} `{name}`"))
            .note(format!("bundle: {}", self.dir.display()))
    }
}
