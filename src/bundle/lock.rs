//! `slipway.lock`: the versions and digests that a cluster was made of, beside its inventory, so
//! that next year's bundle can be compared with this year's.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Manifest;
use super::agent::NAME as AGENT;
use crate::diagnostic::{Error, Kind, Result};

/// The version of the file's form.
pub const SCHEMA: u32 = 1;

/// Everything that is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The Kubernetes version.
    pub kubernetes: String,
    /// `linux`.
    pub os: String,
    /// `amd64` or `arm64`.
    pub arch: String,
    /// Versions of the components.
    pub components: BTreeMap<String, String>,
    /// Binaries by name.
    pub files: BTreeMap<String, Pin>,
    /// Images by reference; the version is the digest's own, so only the digest is kept.
    pub images: BTreeMap<String, String>,
    /// Add-on manifests by name.
    pub addons: BTreeMap<String, Pin>,
    /// Packages by `release/name`.
    pub packages: BTreeMap<String, Pin>,
}

/// A version and the digest of what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The version.
    pub version: String,
    /// Digest, in hexadecimal.
    pub sha256: String,
}

impl Lock {
    /// What the bundle with this manifest is made of. Without slipway's own agent: like slipway
    /// itself, it is of the version that the operator runs.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let pin = |version: &str, sha256: &str| Pin {
            version: version.to_owned(),
            sha256: sha256.to_owned(),
        };
        let files = |list: &[super::FileEntry]| {
            list.iter().map(|f| (f.name.clone(), pin(&f.version, &f.sha256))).collect()
        };
        let packages = manifest.packages.iter();
        Self {
            schema: SCHEMA,
            kubernetes: manifest.kubernetes.clone(),
            os: manifest.os.clone(),
            arch: manifest.arch.clone(),
            components: manifest
                .components
                .iter()
                .filter(|(name, _)| *name != AGENT)
                .map(|(name, version)| (name.clone(), version.clone()))
                .collect(),
            files: files(&manifest.files),
            images: manifest
                .images
                .iter()
                .filter(|i| i.name != AGENT)
                .map(|i| (i.reference.clone(), i.digest.clone()))
                .collect(),
            addons: files(&manifest.addons),
            packages: packages
                .map(|p| (format!("{}/{}", p.release, p.name), pin(&p.version, &p.sha256)))
                .collect(),
        }
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// [`Kind::Inventory`] when it cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string());
        text.and_then(|text| Self::parse(&text)).map_err(|why| {
            Error::new(Kind::Inventory, format!("cannot read `{}`: {why}", path.display()))
        })
    }

    /// What a lock file that holds `text` says, or why it says nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = crate::yaml::read(text)?;
        if lock.schema != SCHEMA {
            return Err(format!("schema {} (this slipway reads {SCHEMA})", lock.schema));
        }
        Ok(lock)
    }

    /// Writes the lock file.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bad = |why: String| {
            Error::new(Kind::Machine, format!("cannot write `{}`: {why}", path.display()))
        };
        let text = serde_yaml::to_string(self).map_err(|e| bad(e.to_string()))?;
        let head =
            "# What this cluster is made of. Written by slipway; keep it with the inventory.\n";
        std::fs::write(path, format!("{head}{text}")).map_err(|e| bad(e.to_string()))
    }

    /// Compares a bundle with this lock.
    ///
    /// # Errors
    /// [`Kind::Preflight`], naming everything that differs.
    pub fn check(&self, manifest: &Manifest) -> Result<()> {
        let differences = self.differences(&Self::of(manifest));
        if differences.is_empty() {
            return Ok(());
        }
        let why = format!("the bundle is not the locked one: {} differences", differences.len());
        let hint = "use the bundle that was locked, or remove `slipway.lock` to accept this one";
        Err(differences.iter().fold(Error::new(Kind::Preflight, why), Error::note).hint(hint))
    }

    fn differences(&self, found: &Self) -> Vec<String> {
        let head = |lock: &Self| {
            let of =
                [("kubernetes", &lock.kubernetes), ("os", &lock.os), ("architecture", &lock.arch)];
            of.map(|(name, value)| (name.to_owned(), value.clone())).into()
        };
        let mut all = compare("", &head(self), &head(found), Clone::clone);
        all.extend(compare("component ", &self.components, &found.components, Clone::clone));
        all.extend(compare("file ", &self.files, &found.files, Pin::shown));
        all.extend(compare("image ", &self.images, &found.images, Clone::clone));
        all.extend(compare("add-on ", &self.addons, &found.addons, Pin::shown));
        all.extend(compare("package ", &self.packages, &found.packages, Pin::shown));
        all
    }
}

impl Pin {
    fn shown(&self) -> String {
        format!("{} (sha256:{}…)", self.version, self.sha256.get(..12).unwrap_or(&self.sha256))
    }
}

fn compare<T: PartialEq>(
    what: &str,
    locked: &BTreeMap<String, T>,
    found: &BTreeMap<String, T>,
    show: impl Fn(&T) -> String,
) -> Vec<String> {
    let mut all = Vec::new();
    for (name, value) in locked {
        match found.get(name) {
            None => all.push(format!("{what}{name}: missing")),
            Some(other) if other != value => {
                all.push(format!("{what}{name}: locked {}, found {}", show(value), show(other)));
            }
            Some(_) => {}
        }
    }
    let new = found.keys().filter(|name| !locked.contains_key(*name));
    all.extend(new.map(|name| format!("{what}{name}: not in the lock")));
    all
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::example;
    use super::*;

    #[test]
    fn a_written_lock_accepts_its_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slipway.lock");
        Lock::of(&example()).write(&path).unwrap();
        Lock::read(&path).unwrap().check(&example()).unwrap();
    }

    #[test]
    fn every_difference_is_named() {
        let lock = Lock::of(&example());
        let mut other = example();
        other.components.insert("etcd".into(), "3.7.1".into());
        other.files[0].sha256 = "b".repeat(64);
        other.packages[0].name = "crun".into();
        other.images[0].digest = format!("sha256:{}", "c".repeat(64));
        let error = lock.check(&other).unwrap_err().to_string();
        for part in [
            "5 differences",
            "component etcd: locked 3.7.0, found 3.7.1",
            "file kubelet: locked 1.37.2 (sha256:aaaaaaaaaaaa…), found 1.37.2 (sha256:bbbbbbbbbbbb…)",
            "image registry.k8s.io/pause:3.10.2",
            "package debian-12/runc: missing",
            "package debian-12/crun: not in the lock",
        ] {
            assert!(error.contains(part), "{part}\n{error}");
        }
    }
}
