//! `slipway preflight`: reports every error and warning about the machines.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use super::run::{self};
use super::{InventoryArg, say, tell_unreachable};
use crate::diagnostic::{Kind, Result};
use crate::preflight::Severity;
use crate::report::{self, Format};
use crate::session::{Given, Purpose, Reached, Real};

/// Check all machines, and report every error and warning
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let events = report::sink(args.output, std::io::stderr().is_terminal());
    let given = Given::read(&args.inventory.inventory)?;
    let network = Arc::new(Real { trust: run::trust() });
    let nothing_secret = Arc::from([]);
    let mut reached =
        Reached::begin(given, Purpose::PREFLIGHT, &network, &nothing_secret, &events).await?;
    reached.time_disks().await?;
    match args.output {
        Format::Text => say(report::findings_text(&reached.findings)),
        Format::Json => reached.tell(events.as_ref()),
    }
    if let Some(code) = tell_unreachable(&reached.unreachable) {
        return Ok(code);
    }
    let errors = reached.findings.iter().any(|one| one.severity == Severity::Error);
    Ok(ExitCode::from(if errors { Kind::Preflight.exit_code() } else { 0 }))
}
