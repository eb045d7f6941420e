//! A plan in a file: what a person reviewed, for an apply that carries out exactly that or nothing. The
//! file holds no secrets: differences are there as digests.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Schema, cannot, write};
use crate::bounded;
use crate::diagnostic::{Error, Kind, Result, printable};

#[cfg(test)]
mod tests;

/// The version of the file's form that this slipway writes and reads.
const SCHEMA: u32 = 1;

/// A larger file is no plan: a node's changes take some 10 KiB.
const SIZE_LIMIT: u64 = 16 << 20;

/// More changes than these are counted, not shown, when a plan is refused.
const SHOWN: usize = 20;

/// A saved plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    schema: u32,
    /// When it was made (RFC 3339, UTC).
    made: String,
    basis: Basis,
    changes: Vec<Announced>,
}

/// What a plan was made from; with another basis it means something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's identity, or [`Basis::NEW`].
    pub identity: String,
    /// SHA-256 of the inventory, in hexadecimal.
    pub inventory: String,
    /// SHA-256 of the bundle's manifest, in hexadecimal.
    pub bundle: String,
    /// The version of slipway.
    pub slipway: String,
    /// SHA-256 of the program slipway, in hexadecimal: it goes to control planes.
    pub program: String,
}

/// A resource that differs, as a plan announces it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    /// The node.
    pub node: String,
    /// The step.
    pub step: String,
    /// The resource's id.
    pub resource: String,
    /// What differs, in a few words.
    pub summary: String,
    /// SHA-256 of the difference's text, in hexadecimal, where there is text.
    pub diff: Option<String>,
    /// Whether slipway only waits for it.
    #[serde(rename = "awaited")]
    pub wait_only: bool,
}

impl Basis {
    /// The identity of a cluster that is yet to be made: its keys do not exist.
    pub const NEW: &str = "new";

    /// Each part's name and value.
    fn parts(&self) -> [(&'static str, String); 5] {
        let sha256 = |digest: &str| format!("sha256:{digest}");
        [
            ("cluster", self.cluster.clone()),
            ("identity", self.identity.clone()),
            ("inventory", sha256(&self.inventory)),
            ("bundle", sha256(&self.bundle)),
            ("slipway", format!("{}, {}", self.slipway, sha256(&self.program))),
        ]
    }

    /// What differs from the basis `now`, a line each.
    fn moved(&self, now: &Self) -> Vec<String> {
        let parts = self.parts().into_iter().zip(now.parts());
        let moved = parts.filter(|(planned, now)| planned != now);
        let line = |((part, planned), (_, now)): ((&str, String), (&str, String))| {
            format!("{part}: {} when planned, {} now", short(&planned), short(&now))
        };
        moved.map(line).collect()
    }
}

/// Digests cut to their first digits.
fn short(value: &str) -> String {
    match value.split_once("sha256:") {
        Some((head, digest)) => format!("{head}sha256:{digest:.12}…"),
        None => value.to_owned(),
    }
}

impl Saved {
    /// A plan that is made now.
    #[must_use]
    pub fn now(basis: Basis, changes: Vec<Announced>) -> Self {
        Self { schema: SCHEMA, made: format!("{:.0}", Timestamp::now()), basis, changes }
    }

    /// How many resources it announces.
    #[must_use]
    pub fn announced(&self) -> usize {
        self.changes.len()
    }

    /// Writes it to `path`, for its owner alone, whole or not at all.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be written, or something else than a file is there.
    pub fn write(&self, path: &Path) -> Result<()> {
        if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            let why = format!("{} is there and is no regular file", path.display());
            return Err(Error::new(Kind::Machine, why));
        }
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(Kind::Bug, format!("cannot write a plan: {e}")))?;
        write(path, format!("{text}\n").as_bytes(), 0o600)
    }

    /// Reads the plan at `path`.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be read; [`Kind::Inventory`] when it is no plan, or one of
    /// another slipway.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = bounded::read(path, SIZE_LIMIT).map_err(cannot(path))?;
        Self::parse(&bytes).map_err(|e| e.context(path.display()))
    }

    /// The plan that `bytes` hold; see [`Self::read`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let no_plan = |why: String| {
            Error::new(Kind::Inventory, format!("no saved plan: {}", printable(&why)))
                .hint("`slipway plan --out FILE` saves one; an inventory is named with `-i FILE`")
        };
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(no_plan(format!("larger than {} MiB", SIZE_LIMIT >> 20)));
        }
        let Schema { schema } =
            serde_json::from_slice(bytes).map_err(|e| no_plan(e.to_string()))?;
        if schema != SCHEMA {
            let why = format!("a plan of schema {schema}; this slipway reads {SCHEMA}");
            return Err(Error::new(Kind::Inventory, why)
                .hint("use the slipway that saved it, or plan again with this one"));
        }
        let saved: Self = serde_json::from_slice(bytes).map_err(|e| no_plan(e.to_string()))?;
        match saved.made.parse::<Timestamp>() {
            Ok(_) => Ok(saved),
            Err(e) => Err(no_plan(format!("`made` is no time: {e}"))),
        }
    }

    /// Makes sure that carrying out `fresh`, made just now, does nothing that this plan did not
    /// announce. Gives how many of its changes are no longer needed.
    ///
    /// # Errors
    /// [`Kind::Outdated`], naming everything that differs.
    pub fn check(&self, fresh: &Self) -> Result<usize> {
        let planned: BTreeSet<&Announced> = self.changes.iter().collect();
        let now: BTreeSet<&Announced> = fresh.changes.iter().collect();
        // A wait changes nothing, so it needs no review.
        let new = fresh.changes.iter().filter(|one| !one.wait_only && !planned.contains(one));
        let new: Vec<&Announced> = new.collect();
        let gone: Vec<&Announced> = self.changes.iter().filter(|one| !now.contains(one)).collect();
        let moved = self.basis.moved(&fresh.basis);
        if moved.is_empty() && new.is_empty() {
            return Ok(gone.len());
        }
        let message = format!("the plan of {} is out of date; nothing was changed", self.made);
        let error = list(Error::new(Kind::Outdated, message), &moved);
        let added: Vec<String> = new
            .iter()
            .map(|one| match gone.iter().find(|gone| gone.same_resource(one)) {
                None => format!("+ {one}"),
                Some(before) if before.summary == one.summary => {
                    format!("+ {one} (announced with another difference)")
                }
                Some(before) => format!("+ {one} (announced: {})", before.summary),
            })
            .collect();
        let gone = gone.iter().filter(|gone| !new.iter().any(|one| one.same_resource(gone)));
        let gone: Vec<String> = gone.map(|one| format!("no longer needed: {one}")).collect();
        let error = list(list(error, &added), &gone);
        Err(error.hint("`slipway plan --out FILE` makes a new one to review"))
    }
}

impl Announced {
    fn same_resource(&self, other: &Self) -> bool {
        (&self.node, &self.step, &self.resource) == (&other.node, &other.step, &other.resource)
    }
}

/// The first [`SHOWN`] of `lines` as notes, and how many more there are.
fn list(error: Error, lines: &[String]) -> Error {
    // Escaped before it could become two lines.
    let error = lines.iter().take(SHOWN).fold(error, |error, line| error.note(printable(line)));
    match lines.len().saturating_sub(SHOWN) {
        0 => error,
        more => error.note(format!("and {more} more")),
    }
}

impl fmt::Display for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}  {}", self.node, self.step, self.resource, self.summary)
    }
}
