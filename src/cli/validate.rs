//! `slipway validate`: checks an inventory, and shows the cluster that it describes.

use std::process::ExitCode;

use super::{InventoryArg, say};
use crate::cluster::{Cluster, Role};
use crate::diagnostic::Result;
use crate::inventory;

/// Check an inventory without connecting to any machine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let inventory = inventory::load_new(&args.inventory.inventory)?;
    say(format_args!("ok: {}", summary(&inventory.cluster)));
    Ok(ExitCode::SUCCESS)
}

/// A cluster in one line.
fn summary(cluster: &Cluster) -> String {
    let count = |role, name: &str| match cluster.with_role(role).count() {
        1 => format!("1 {name}"),
        n => format!("{n} {name}s"),
    };
    format!(
        "{}: Kubernetes {}, {}, {}, endpoint {}",
        cluster.name,
        cluster.kubernetes,
        count(Role::ControlPlane, "control plane"),
        count(Role::Worker, "worker"),
        cluster.endpoint.authority(),
    )
}
