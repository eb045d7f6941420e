//! `slipway kubeconfig`: the administrator's kubeconfig.

use std::process::ExitCode;

use super::{InventoryArg, say};
use crate::diagnostic::{Error, Kind, Result};
use crate::inventory;
use crate::state::State;

/// Print the path of the administrator's kubeconfig
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Print the file itself; it holds a private key
    #[arg(long)]
    print: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let inventory = inventory::load(&args.inventory.inventory)?;
    let path = State::at(inventory.state_dir()).kubeconfig();
    let missing = |e: std::io::Error| {
        Error::new(Kind::Machine, format!("no kubeconfig at {}: {e}", path.display()))
            .hint("`slipway apply` writes it, and changes nothing in a cluster that matches its inventory")
    };
    let text = std::fs::read_to_string(&path).map_err(missing)?;
    if args.print {
        say(text.trim_end());
    } else {
        say(std::path::absolute(&path).unwrap_or(path).display());
    }
    Ok(ExitCode::SUCCESS)
}
