//! What differs on a node: a plan shows it, and an apply changes it.

use crate::command::Output;
use crate::diagnostic::Result;
use crate::resource::{Diff, Drift, Resource};

/// A resource that differs, or did.
pub struct Differing<'a> {
    /// The resource.
    pub want: &'a dyn Resource,
    /// What was seen of it.
    pub seen: Output,
    /// What differed.
    pub diff: Diff,
}

/// Those of `wants` that differ on `node`, given what was seen of each.
///
/// # Errors
/// When a resource refuses what was found there.
pub(super) fn differing<'a>(
    node: &str,
    wants: &[&'a dyn Resource],
    seen: Vec<Output>,
) -> Result<Vec<Differing<'a>>> {
    let mut differing = Vec::new();
    for (want, seen) in wants.iter().zip(seen) {
        let drift = want.compare(&seen).map_err(|e| e.context(node))?;
        if let Drift::Differs(diff) = drift {
            differing.push(Differing { want: *want, seen, diff });
        }
    }
    Ok(differing)
}
