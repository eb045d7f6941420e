//! `slipway unregister`: removes a cluster from its hub.

use std::process::ExitCode;
use std::time::Duration;

use super::{InventoryArg, say_error};
use crate::diagnostic::{Error, Kind, Result};
use crate::hub::{self, Left};
use crate::inventory;

/// Remove the inventory's cluster from its hub: its agent cleans up, then its access is revoked
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// How long the agent may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Remove it even if its agent does not answer, and list what remains in the cluster
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let cluster = inventory::load(&args.inventory.inventory)?.cluster;
    let Some(registration) = cluster.registration else {
        let message = format!("{} is registered with no hub", cluster.name);
        return Err(Error::new(Kind::Inventory, message)
            .hint("`spec.registration` names the hub; see docs/registration.md"));
    };
    let (client, _) = hub::reach(&registration.hub).await?;
    let limit = Duration::from_secs(args.wait);
    let name = &registration.name;
    let left = hub::unregister(&client, name, limit, args.force).await;
    let left = left.map_err(|error| match error.kind() {
        Kind::Timeout => {
            error.hint("`--wait` gives it longer, `--force` removes it from the hub alone")
        }
        _ => error,
    })?;
    match left {
        Left::Unknown => say_error(format_args!("the hub knows no cluster `{name}`")),
        Left::Clean => say_error(format_args!("{name} has left the hub; nothing remains")),
        Left::Forced(left) => {
            say_error(format_args!(
                "{name} was removed from the hub; what remains in the cluster:"
            ));
            left.iter().for_each(|one| say_error(format_args!("  {one}")));
        }
    }
    Ok(ExitCode::SUCCESS)
}
