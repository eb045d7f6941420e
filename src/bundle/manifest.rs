//! `manifest.json`: the list of everything in a bundle. Reading it rejects whatever could lead
//! outside the bundle's directory.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Error, Kind, Result};

/// The version of the manifest's form.
pub const SCHEMA: u32 = 1;

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The Kubernetes version, such as `1.37.2`.
    pub kubernetes: String,
    /// Always `linux`.
    pub os: String,
    /// `amd64` or `arm64`.
    pub arch: String,
    /// The digest of all that the bundle was built from; see [`super::build()`].
    pub recipe: String,
    /// The version of every component, by name.
    pub components: BTreeMap<String, String>,
    /// Binaries for nodes.
    pub files: Vec<FileEntry>,
    /// Images.
    pub images: Vec<Image>,
    /// Add-on manifests.
    pub addons: Vec<Addon>,
    /// Distribution packages for nodes.
    pub packages: Vec<PackageEntry>,
    /// Distribution packages that the images' base layer was made from (not in the bundle).
    pub base: Vec<BasePackage>,
}

/// A binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// The name of the program.
    pub name: String,
    /// Its component's version.
    pub version: String,
    /// Path below the bundle's directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest, in hexadecimal.
    pub sha256: String,
}

/// An add-on manifest; the fields are those of a binary.
pub type Addon = FileEntry;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Short name, such as `kube-apiserver`.
    pub name: String,
    /// The reference that manifests use, such as `registry.k8s.io/pause:3.10.2`.
    pub reference: String,
    /// Digest of its OCI manifest, as `sha256:…`.
    pub digest: String,
    /// Bytes of its OCI manifest.
    pub size: u64,
    /// Everything it consists of: its OCI manifest first, then configuration and layers.
    pub blobs: Vec<Blob>,
}

/// A blob below `blobs/sha256/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Digest, as `sha256:…`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

impl Blob {
    /// The digest without its algorithm.
    #[must_use]
    pub fn sha256(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or(&self.digest)
    }

    /// Path below the bundle's directory, and in an OCI layout.
    #[must_use]
    pub fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256())
    }
}

/// A distribution package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageEntry {
    /// `debian-12`, `debian-13`.
    pub release: String,
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Whether only a virtual IP needs it, so only control planes.
    #[serde(default)]
    pub endpoint: bool,
    /// Whether it is there for other packages only, which depend on it: a node that has them does
    /// not need it.
    #[serde(default)]
    pub dependency: bool,
    /// Path below the bundle's directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest, in hexadecimal.
    pub sha256: String,
}

/// A distribution package that only served to build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasePackage {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of the `.deb`, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`Kind::Machine`] for another schema, a malformed digest or a path that leaves the bundle.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let bad = |why: String| Error::new(Kind::Machine, why);
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let head: Head = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
        if head.schema != SCHEMA {
            let why = format!("schema {} (this slipway reads {SCHEMA})", head.schema);
            return Err(bad(why).hint("build the bundle again with this slipway"));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
        for (path, sha256, _) in manifest.contents() {
            if !is_inside(&path) {
                return Err(bad(format!("path `{path}` leaves the bundle")));
            }
            if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            {
                return Err(bad(format!("`{sha256}` is no sha256 digest")));
            }
        }
        if let Some(image) = manifest.images.iter().find(|image| !image.is_consistent()) {
            return Err(bad(format!("image `{}` does not begin with its manifest", image.name)));
        }
        Ok(manifest)
    }

    /// Every file below the bundle's directory, each once: path, sha256, bytes.
    pub fn contents(&self) -> impl Iterator<Item = (String, &str, u64)> {
        let files = self.files.iter().chain(&self.addons);
        let files = files.map(|f| (f.path.clone(), f.sha256.as_str(), f.size));
        let packages = self.packages.iter().map(|p| (p.path.clone(), p.sha256.as_str(), p.size));
        let blobs = self.blobs(|_| true).into_iter().map(|b| (b.path(), b.sha256(), b.size));
        files.chain(packages).chain(blobs)
    }

    /// The blobs of the images that `wanted` chooses, each once, sorted by digest.
    pub(super) fn blobs(&self, wanted: impl Fn(&Image) -> bool) -> Vec<&Blob> {
        let images = self.images.iter().filter(|image| wanted(image));
        let blobs: std::collections::BTreeSet<&Blob> = images.flat_map(|i| &i.blobs).collect();
        blobs.into_iter().collect()
    }
}

impl Image {
    fn is_consistent(&self) -> bool {
        self.blobs.first().is_some_and(|b| b.digest == self.digest && b.size == self.size)
    }
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A manifest with one of everything.
    pub(in crate::bundle) fn example() -> Manifest {
        let sha256 = "a".repeat(64);
        let blob = Blob { digest: format!("sha256:{sha256}"), size: 3 };
        let file = FileEntry {
            name: "kubelet".into(),
            version: "1.37.2".into(),
            path: "linux-amd64/bin/kubelet".into(),
            size: 5,
            sha256: sha256.clone(),
        };
        Manifest {
            schema: SCHEMA,
            kubernetes: "1.37.2".into(),
            os: "linux".into(),
            arch: "amd64".into(),
            recipe: sha256.clone(),
            components: [("etcd".to_owned(), "3.7.0".to_owned())].into(),
            addons: vec![FileEntry { path: "manifests/calico.yaml".into(), ..file.clone() }],
            files: vec![file],
            images: vec![Image {
                name: "pause".into(),
                reference: "registry.k8s.io/pause:3.10.2".into(),
                digest: blob.digest.clone(),
                size: blob.size,
                blobs: vec![blob],
            }],
            packages: vec![PackageEntry {
                release: "debian-12".into(),
                name: "runc".into(),
                version: "1.1.5".into(),
                architecture: "amd64".into(),
                endpoint: false,
                dependency: false,
                path: "packages/debian-12/runc.deb".into(),
                size: 4,
                sha256: sha256.clone(),
            }],
            base: vec![BasePackage { name: "libc6".into(), version: "2.36".into(), sha256 }],
        }
    }

    fn refused(change: impl FnOnce(&mut Manifest)) -> String {
        let mut manifest = example();
        change(&mut manifest);
        let text = serde_json::to_vec(&manifest).unwrap();
        Manifest::parse(&text).unwrap_err().message().to_owned()
    }

    #[test]
    fn what_is_written_is_read() {
        let text = serde_json::to_vec(&example()).unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), example());
    }

    #[test]
    fn another_schema_is_refused_whatever_else_it_holds() {
        let error = Manifest::parse(br#"{"schema": 7, "new": true}"#).unwrap_err();
        assert!(error.message().contains("schema 7"), "{error}");
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["/etc/passwd", "../x", "a/../../x", "", "./a/.."] {
            let why = refused(|m| m.files[0].path = path.into());
            assert!(why.contains("leaves the bundle"), "{path}: {why}");
        }
    }

    #[test]
    fn digests_are_digests() {
        assert!(refused(|m| m.packages[0].sha256 = "ABC".into()).contains("no sha256"));
        let up = |m: &mut Manifest| m.images[0].blobs[0].digest = "sha256:../../x".into();
        assert!(refused(up).contains("leaves the bundle"));
        assert!(refused(|m| m.images[0].size = 9).contains("does not begin"));
    }
}
