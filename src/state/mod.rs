//! What slipway remembers of a cluster on the operator's machine: `.slipway/<cluster>/` beside the
//! inventory. The one module that keeps keys, so that encryption or a vault fits behind it.
//!
//! ```text
//! .slipway/prod/            0700
//!     .gitignore            *
//!     pki/…                 kubeadm's eight shared files, keys 0600
//!     kubeconfig            0600
//!     state.json            schema, cluster, identity, when it was made; written last
//!     last-apply.json       how long the last apply took, step by step
//! ```
//!
//! It may be lost: all of it can be read back from a living control plane.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Error, Kind, Result};
use crate::pki::{self, Identity, Pki};
use crate::secret::Secret;

mod last;
mod saved;
#[cfg(test)]
mod tests;

pub use last::{LastApply, StepTime};
pub use saved::{Announced, Basis, Saved};

/// The version of `state.json` that this slipway writes.
const SCHEMA: u32 = 1;

/// A cluster's state directory.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
}

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    schema: u32,
    cluster: String,
    identity: Identity,
    created: String,
}

/// What every version of a file of ours has.
#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

impl Record {
    /// Reads `state.json`.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it is none, or was written by a newer slipway.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let broken = |why: String| Error::new(Kind::Machine, format!("`state.json` {why}"));
        let unreadable = |e| broken(format!("cannot be read: {e}"));
        let Schema { schema } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if schema != SCHEMA {
            return Err(broken(format!("has schema {schema}, not {SCHEMA}"))
                .hint("use the version of slipway that wrote it, or a newer one"));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}

impl State {
    /// The state kept in `dir`, which need not exist.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where the kubeconfig is, or will be.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The cluster's keys; `None` when there are none yet.
    ///
    /// # Errors
    /// [`Kind::Machine`] when others may read the keys, when they are incomplete, do not belong to
    /// the recorded identity, or were written by a newer slipway; [`Kind::Preflight`] when they
    /// cannot be used, having expired, say.
    pub fn load(&self) -> Result<Option<Pki>> {
        let Some(_lock) = self.lock_shared()? else { return Ok(None) };
        let record = self.record()?;
        let mut files = Vec::new();
        for name in pki::FILES {
            if let Some(bytes) = read(&self.pki(name))? {
                files.push((name, Secret::new(bytes)));
            }
        }
        let Some(record) = record else {
            return if files.is_empty() { Ok(None) } else { Err(self.half_written()) };
        };
        self.check_private()?;
        let get = |name: &str| {
            let (_, bytes) = files.iter().find(|(file, _)| *file == name)?;
            Some(bytes.expose().clone())
        };
        let keys = Pki::from_files(get).map_err(|e| e.context(self.dir.display()))?;
        if keys.identity() != record.identity {
            return Err(self
                .broken("the keys are not those of the recorded cluster")
                .note(format!("state.json: {}", record.identity))
                .note(format!("pki/ca.crt: {}", keys.identity())));
        }
        Ok(Some(keys))
    }

    /// Keeps `keys` as those of `cluster`. What is there is never overwritten: saving the same keys
    /// again completes what an interrupted run left, others are an error.
    ///
    /// # Errors
    /// [`Kind::Machine`] when there are other keys or another cluster, or the directory cannot be
    /// written or can be read by others.
    pub fn save(&self, cluster: &str, keys: &Pki) -> Result<()> {
        self.create()?;
        let _lock = self.lock()?;
        let record = self.record()?;
        if let Some(record) = &record {
            self.check_same(record, cluster, keys)?;
        }
        let mut absent = Vec::new();
        for file in keys.files() {
            match read(&self.pki(file.name))?.map(Secret::new) {
                None => absent.push(file),
                Some(present) if present.expose() == file.content.expose() => {}
                Some(_) => {
                    return Err(self.broken(format!("`pki/{}` is another one", file.name)));
                }
            }
        }
        if absent.len() < pki::FILES.len() {
            self.check_private()?;
        } else {
            // No key was ever here, so nothing was exposed: just close the door.
            let at = &self.dir;
            std::fs::set_permissions(at, Permissions::from_mode(0o700)).map_err(cannot(at))?;
        }
        write(&self.dir.join(".gitignore"), b"*\n", 0o644)?;
        for file in absent {
            write(&self.pki(file.name), file.content.expose(), file.content.mode())?;
        }
        if record.is_none() {
            self.write_record(cluster, keys)?;
        }
        Ok(())
    }

    /// Writes the administrator's kubeconfig, replacing an older one; gives its path.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be written.
    pub fn write_kubeconfig(&self, text: &Secret<String>) -> Result<PathBuf> {
        self.create()?;
        let path = self.kubeconfig();
        write(&path, text.expose().as_bytes(), 0o600)?;
        Ok(path)
    }

    fn pki(&self, name: &str) -> PathBuf {
        self.dir.join("pki").join(name)
    }

    fn record_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    fn record(&self) -> Result<Option<Record>> {
        let bytes = read(&self.record_path())?;
        let record = bytes.map(|bytes| Record::parse(&bytes)).transpose();
        record.map_err(|e| e.context(self.dir.display()))
    }

    fn write_record(&self, cluster: &str, keys: &Pki) -> Result<()> {
        let record = Record {
            schema: SCHEMA,
            cluster: cluster.to_owned(),
            identity: keys.identity(),
            created: jiff::Timestamp::now().to_string(),
        };
        let text = serde_json::to_string_pretty(&record)
            .map_err(|e| Error::new(Kind::Bug, format!("cannot write `state.json`: {e}")))?;
        write(&self.record_path(), format!("{text}\n").as_bytes(), 0o600)
    }

    fn check_same(&self, record: &Record, cluster: &str, keys: &Pki) -> Result<()> {
        if record.cluster != cluster {
            return Err(self.broken(format!(
                "it belongs to the cluster `{}`, not `{cluster}`",
                record.cluster
            )));
        }
        if record.identity != keys.identity() {
            return Err(self
                .broken("it holds the keys of another cluster, which are not overwritten")
                .note(format!("kept: {}", record.identity))
                .note(format!("new:  {}", keys.identity())));
        }
        Ok(())
    }

    /// Whether the directory and the keys in it are the owner's alone.
    fn check_private(&self) -> Result<()> {
        private(&self.dir, "700")?;
        for name in pki::FILES.into_iter().filter(|name| name.ends_with(".key")) {
            private(&self.pki(name), "600")?;
        }
        Ok(())
    }

    fn create(&self) -> Result<()> {
        let create = |dir: &Path| DirBuilder::new().recursive(true).mode(0o700).create(dir);
        create(&self.dir).map_err(cannot(&self.dir))?;
        let deepest = self.dir.join("pki/etcd");
        create(&deepest).map_err(cannot(&deepest))
    }

    /// Held while writing, so that two runs do not mix their keys.
    fn lock(&self) -> Result<File> {
        let file = File::open(&self.dir).map_err(cannot(&self.dir))?;
        file.lock().map_err(cannot(&self.dir))?;
        Ok(file)
    }

    /// Held while reading; `None` when there is no directory.
    fn lock_shared(&self) -> Result<Option<File>> {
        match File::open(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            opened => opened
                .and_then(|file| file.lock_shared().map(|()| Some(file)))
                .map_err(cannot(&self.dir)),
        }
    }

    fn half_written(&self) -> Error {
        let keys = self.dir.join("pki");
        let keys = keys.display();
        self.broken("there are keys but no `state.json`: writing them was interrupted").hint(
            format!("put them aside (a living cluster gives its own back): mv {keys} {keys}.old"),
        )
    }

    fn broken(&self, why: impl std::fmt::Display) -> Error {
        Error::new(Kind::Machine, format!("{}: {why}", self.dir.display()))
    }
}

fn private(path: &Path, mode: &str) -> Result<()> {
    let found = match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(cannot(path))?.permissions().mode(),
    };
    if found & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Error::new(Kind::Machine, format!("others may use the keys in {path}"))
        .hint(format!("if nobody did: chmod {mode} {path}")))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(cannot(path)),
    }
}

/// Writes a file so that it is there whole or not at all, even if the machine stops.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(cannot(path))
}

fn cannot(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |e| Error::new(Kind::Machine, format!("{path}: {e}"))
}
