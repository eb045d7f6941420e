//! `slipway hub`: the hub of the Multi-Cluster Platform.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;

use super::{apply, say, say_error};
use crate::diagnostic::{Error, Kind, Result};
use crate::hub;
use crate::report::Format;
use crate::{bundle, cluster, inventory};

/// Manage the hub of the Multi-Cluster Platform, where clusters register
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Apply an inventory with `addons: {hub: true}`: a cluster that is a hub
    Create(apply::Args),
    /// Make any API server a hub; for a cluster that slipway makes, set `addons: {hub: true}`
    Install {
        #[command(flatten)]
        hub: HubArg,
        /// The image of `slipway-agent` that the controller runs
        #[arg(long, value_name = "REFERENCE", default_value = bundle::AGENT_IMAGE)]
        image: String,
    },
    /// List the clusters that the hub knows
    Clusters {
        #[command(flatten)]
        hub: HubArg,
        /// Output format
        #[arg(short, long, value_enum, default_value = "text")]
        output: Format,
        /// Refresh every few seconds until interrupted
        #[arg(short, long)]
        watch: bool,
    },
    /// Show the status of the hub itself
    Status {
        #[command(flatten)]
        hub: HubArg,
    },
    /// Print a credential that admits one registered cluster's agent, once and within an hour
    ///
    /// For a cluster that slipway did not make: `slipway hub token NAME --manifests | kubectl apply
    /// -f -` there installs its agent. Earlier credentials of that cluster become invalid.
    Token {
        #[command(flatten)]
        hub: HubArg,
        /// The cluster's ClusterRegistration
        name: String,
        /// Print the agent's manifests with it, as a list for `kubectl apply`
        #[arg(long)]
        manifests: bool,
        /// The image of `slipway-agent` that the agent runs
        #[arg(long, value_name = "REFERENCE", default_value = bundle::AGENT_IMAGE)]
        image: String,
    },
}

/// The hub, for every command that asks it.
#[derive(Debug, clap::Args)]
struct HubArg {
    /// The hub's kubeconfig
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: PathBuf,
}

/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    match args.what {
        What::Create(args) => return create(args).await,
        What::Install { hub, image } => {
            let client = hub.reach().await?;
            hub::install(&client, &image).await?;
            say_error("this API server is a hub now; see `slipway hub status`");
        }
        What::Clusters { hub, output, watch } => {
            let client = hub.reach().await?;
            loop {
                let clusters = hub::clusters(&client).await?;
                match output {
                    Format::Text if watch => {
                        // Home, then clear to the end of the screen (ECMA-48).
                        say(format!("\x1b[H\x1b[J{}", hub::table(&clusters, Timestamp::now())));
                    }
                    Format::Text => say(hub::table(&clusters, Timestamp::now())),
                    Format::Json => say(serde_json::json!({ "clusters": clusters })),
                }
                if !watch {
                    break;
                }
                tokio::time::sleep(EVERY).await;
            }
        }
        What::Status { hub } => say(hub::status(&hub.reach().await?).await?),
        What::Token { hub, name, manifests, image } => {
            let guest = hub::Guest::invite(&hub.place(), &name).await?;
            say_error(format_args!("good for one certificate, until {}", guest.expires));
            // What was asked for, on standard output alone.
            if manifests {
                say(guest.manifests(&image)?);
            } else {
                say(guest.token());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An apply, of an inventory that says what it is for.
async fn create(args: apply::Args) -> Result<ExitCode> {
    if !inventory::load(args.inventory())?.cluster.addons.hub {
        let message = format!("{} describes no hub", args.inventory().display());
        return Err(Error::new(Kind::Inventory, message).hint("add `hub: true` to `spec.addons`"));
    }
    apply::run(args).await
}

impl HubArg {
    fn place(&self) -> cluster::Hub {
        cluster::Hub::Kubeconfig(self.kubeconfig.clone())
    }

    async fn reach(&self) -> Result<hub::Client> {
        Ok(hub::reach(&self.place()).await?.0)
    }
}
