//! The file that a person writes: read strictly, checked whole, turned into a [`Cluster`].
//!
//! The text becomes a small tree that knows the place of everything ([`tree`]). The table of keys
//! ([`keys`]) says what may be written; [`schema`] holds the tree against it, [`rules`] looks for
//! contradictions between keys, and both collect findings instead of stopping at the first. Only a
//! tree without findings becomes a cluster ([`resolve`]).

use std::path::{Path, PathBuf};

use crate::cluster::Cluster;
use crate::diagnostic::{Error, Kind, Result};

mod arguments;
mod identity;
mod keys;
mod kubelet;
mod networks;
mod owned;
mod read;
mod registration;
mod resolve;
mod rules;
mod schema;
mod source;
mod syntax;
mod tree;

use keys::at;
use source::Source;

pub use keys::{KEYS, Key, Presence};

/// An inventory without errors, and the cluster that it means.
#[derive(Debug, Clone)]
pub struct Inventory {
    source: Source,
    root: tree::Node,
    /// The cluster that it means.
    pub cluster: Cluster,
}

/// Reads the inventory at `path`.
///
/// # Errors
/// When it cannot be read or is wrong in any way; every finding is in the one error.
pub fn load(path: &Path) -> Result<Inventory> {
    parse(path, source::read(path)?, false)
}

/// As [`load`], for a cluster that does not exist yet: what [`Inventory::check_new`] refuses is
/// among the findings.
///
/// # Errors
/// As [`load`] and [`Inventory::check_new`].
pub fn load_new(path: &Path) -> Result<Inventory> {
    parse(path, source::read(path)?, true)
}

/// As [`load`] or, for a `new` cluster, [`load_new`]; `bytes` is what the file holds.
pub(crate) fn parse(path: &Path, bytes: Vec<u8>, new: bool) -> Result<Inventory> {
    let source = Source::new(path, bytes)?;
    let mut findings = Vec::new();
    let read = tree::parse(source.text(), keys::DOCUMENT, &mut findings);
    let (root, second) = read.unwrap_or_else(|fatal| {
        findings.push(fatal);
        (tree::Node::empty(), None)
    });
    if !root.is_empty() {
        schema::check(&root, &mut findings);
        kubelet::check(&root, &mut findings);
        arguments::check(&root, &mut findings);
        rules::check(&root, source.dir(), &mut findings);
        if let Some(second) = &second {
            schema::check_document(second, &mut findings);
        }
        registration::check(&root, second.as_ref(), &mut findings);
        if new {
            findings.extend(rules::new_cluster(&root));
        }
    }
    if !findings.is_empty() {
        return Err(source.error(findings));
    }
    let cluster = resolve::cluster(&root, second.as_ref(), source.dir())
        .ok_or_else(|| Error::new(Kind::Bug, "a correct inventory gives no cluster"))?;
    Ok(Inventory { source, root, cluster })
}

impl Inventory {
    /// Whether it says a version of Kubernetes, and does not leave it to slipway.
    #[must_use]
    pub fn says_version(&self) -> bool {
        self.root.get(keys::at!("spec.kubernetes.version")).is_some()
    }

    /// The file, as it was named to us.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Its text as it was read, without a byte order mark.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// The directory that the file lies in; relative paths in it start here.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.source.dir().to_owned()
    }

    /// Where slipway keeps what it must remember about this cluster.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir().join(".slipway").join(&self.cluster.name)
    }

    /// An excerpt of the file that points at a node's name, with `label` under it.
    #[must_use]
    pub fn excerpt(&self, node: &str, label: &str) -> Option<String> {
        let nodes = self.root.items(at!("spec.nodes"));
        let mut names = nodes.filter_map(|item| item.get(at!("spec.nodes[].name")));
        let name = names.find(|name| name.text() == Some(node))?;
        Some(self.source.excerpt(&[(name.span.clone(), label.to_owned())]))
    }

    /// Refuses what is wrong in a new cluster but may be passed through by one that exists: an even
    /// number of control planes, and one of several as the endpoint of all.
    ///
    /// # Errors
    /// When there is such a thing.
    pub fn check_new(&self) -> Result<()> {
        match rules::new_cluster(&self.root) {
            findings if findings.is_empty() => Ok(()),
            findings => Err(self.source.error(findings)),
        }
    }
}
