//! The command line of `slipway-agent`: the agent of a member, the controller of a hub, the definitions.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use kube::{Client, Config};

use crate::credential::READ_TIMEOUT;
use crate::error::{Context as _, Error, Result};
use crate::{api, hub, install, member};

/// Keeps clusters known to a hub of the Multi-Cluster Platform.
#[derive(Parser)]
#[command(name = "slipway-agent", version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Act as the hub's controller, in the hub's own cluster
    Hub {
        /// Name of this replica, as holder of the leader's Lease
        #[arg(long, env = "POD_NAME")]
        identity: String,
        /// Namespace of the leader's Lease
        #[arg(long, default_value = install::HUB_NAMESPACE)]
        namespace: String,
        /// Address that serves /healthz and /metrics
        #[arg(long, default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
    },
    /// Act as the agent of this cluster
    Member {
        /// The cluster's name at the hub
        #[arg(long, env = "CLUSTER")]
        cluster: String,
        /// Name of this agent, as holder of its Lease
        #[arg(long, env = "POD_NAME")]
        identity: String,
        /// Address that serves /healthz and /metrics
        #[arg(long, default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
    },
    /// Print the definitions of ClusterRegistration and ManifestSet as YAML
    Crds,
}

/// Parses the arguments, runs until the role ends or the kubelet sends a signal, and gives the exit code.
// In the library, not in the program: a future is compiled where it is run.
#[tokio::main]
pub async fn main() -> ExitCode {
    // Whoever makes a call logs its failure with more context than kube's client does.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(filter.unwrap_or_else(|_| "info,kube_client=off".into()))
        .init();
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = run(arguments.role) => ended,
        () = stopped() => Ok(()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "exiting");
            ExitCode::FAILURE
        }
    }
}

async fn run(role: Role) -> Result<()> {
    match role {
        Role::Hub { identity, namespace, listen } => {
            let issue_limit = Duration::from_mins(1);
            let options = hub::Options { identity, namespace, listen: Some(listen), issue_limit };
            hub::run(client(config().await?)?, options).await
        }
        Role::Member { cluster, identity, listen } => {
            let mut options = member::Options::new(&cluster, &identity);
            options.listen = Some(listen);
            let config = config().await?;
            options.api_server = member::ApiServer::of(&config);
            member::run(client(config)?, options).await
        }
        Role::Crds => crds(),
    }
}

/// How to reach the API server of the cluster that this process runs in.
async fn config() -> Result<Config> {
    let config = Config::infer().await;
    let mut config = config.map_err(|error| {
        Error::Refused(format!("this cluster's API server is not known: {error}"))
    })?;
    config.read_timeout = Some(READ_TIMEOUT);
    Ok(config)
}

fn client(config: Config) -> Result<Client> {
    Client::try_from(config).context(|| "making a client for this cluster".to_owned())
}

/// Waits for the kubelet's signal, which the first process of a container would otherwise ignore.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => std::future::pending().await,
    }
}

fn crds() -> Result<()> {
    let mut text = String::new();
    for crd in api::crds() {
        let yaml = serde_yaml::to_string(&crd);
        text += "---\n";
        text += &yaml.map_err(|error| Error::Invalid(error.to_string()))?;
    }
    // A reader that stops early, such as `head`, is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}
