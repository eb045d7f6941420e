//! The clock.

use serde_json::json;

use super::{Context, Pace, Step};
use crate::cluster::Node;
use crate::diagnostic::Result;
use crate::resource::{File, Resource, Unit, boxed};
use crate::template;

/// Before anything that takes long, so that chrony has set the clock by the time certificates are
/// used.
pub const STEP: Step =
    Step { name: "time", title: "time synchronisation", after: &[], pace: Pace::Together, desired };

fn desired(context: &Context, _node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let servers = &context.cluster.time_servers;
    let mut files = Vec::new();
    // Without servers in the inventory, the distribution's own choice stays.
    if !servers.is_empty() {
        let text = template::CHRONY.render(&json!({ "servers": servers }))?;
        files.push(File::text(template::CHRONY.target(), text));
    }
    let unit = Unit::running("chrony.service", &files);
    Ok(super::all(files).chain([boxed(unit)]).collect())
}
