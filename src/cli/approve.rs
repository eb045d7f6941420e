//! `slipway approve-certificates`: the service that stays on every control plane.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::say_error;
use crate::approver::Approver;
use crate::diagnostic::{Error, Kind, Result};

/// Approve kubelets' certificate signing requests; runs on control planes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Table of nodes and their addresses (JSON); reloaded when it changes
    #[arg(long, value_name = "FILE")]
    nodes: PathBuf,
    /// The kubectl to use
    #[arg(long, value_name = "FILE", default_value = "/usr/local/bin/kubectl")]
    kubectl: PathBuf,
    /// A kubeconfig that may approve requests
    #[arg(long, value_name = "FILE", default_value = "/etc/kubernetes/admin.conf")]
    kubeconfig: PathBuf,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let signals = |e| Error::new(Kind::Machine, format!("cannot wait for signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Approver::new(args.nodes, args.kubectl, args.kubeconfig, |line: &str| say_error(line))
        .serve(stop)
        .await?;
    Ok(ExitCode::SUCCESS)
}
