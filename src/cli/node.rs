//! `slipway node`: what is done to single nodes.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

use super::run::{self, Consent, Options};
use super::say_error;
use crate::cluster::Leaving;
use crate::diagnostic::Result;
use crate::event::Sink;
use crate::session::{Purpose, Session};

/// Take nodes out of the cluster, or pods off them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let no new pods come to nodes; those that are there stay
    Cordon(Nodes),
    Drain(Drain),
    /// Let pods come to nodes again
    Uncordon(Nodes),
    Remove(Remove),
}

/// The nodes, and how far to go with them.
#[derive(Debug, clap::Args)]
struct Nodes {
    /// The nodes' names
    #[arg(value_name = "NODE", required = true, value_parser = NonEmptyStringValueParser::new())]
    nodes: Vec<String>,
    #[command(flatten)]
    options: Options,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before changing anything
    #[arg(short, long)]
    yes: bool,
}

/// Let the pods of nodes go elsewhere, and no new ones come, until they are uncordoned
#[derive(Debug, clap::Args)]
struct Drain {
    #[command(flatten)]
    of: Nodes,
    #[command(flatten)]
    consent: Consent,
}

/// Take nodes out of the cluster: move their pods, remove them from etcd and the cluster, reset their machines
#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    of: Nodes,
    #[command(flatten)]
    consent: Consent,
    /// Also nodes that are not Ready, whose pods cannot be moved: only for machines that are off for good
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Cordon(nodes) => {
            maintain(nodes, Consent::default(), Purpose::CORDON, "takes no new pods").await
        }
        Command::Drain(Drain { of, consent }) => {
            let then = "has no pods but its own, and takes no new ones";
            maintain(of, consent, Purpose::DRAIN, then).await
        }
        Command::Uncordon(nodes) => {
            maintain(nodes, Consent::default(), Purpose::UNCORDON, "takes pods").await
        }
        Command::Remove(args) => remove(args).await,
    }
}

/// Carries out `purpose` at nodes of which `then` is true afterwards.
async fn maintain(args: Nodes, consent: Consent, purpose: Purpose, then: &str) -> Result<ExitCode> {
    let began = Instant::now();
    let recorder = args.options.events();
    let events: Arc<dyn Sink> = recorder.clone();
    let mut given = consent.given(&args.options.inventory.inventory)?;
    given.inventory.cluster.maintained.clone_from(&args.nodes);
    let purpose = Purpose { changes: !args.dry_run, ..purpose };
    let mut session = Session::open(given, purpose, run::trust(), &events).await?;
    if args.dry_run {
        args.options.show_plan(&session.plan, None);
        return Ok(ExitCode::SUCCESS);
    }
    let carried = args.options.carry_out(&mut session, &recorder, began, args.yes).await?;
    for node in args.nodes.iter().filter(|_| carried.went) {
        args.options.tell(format!("{node} {then}"));
    }
    Ok(carried.failed.map_or(ExitCode::SUCCESS, |worst| ExitCode::from(worst.exit_code())))
}

async fn remove(args: Remove) -> Result<ExitCode> {
    let Remove { of: args, consent, force } = args;
    let began = Instant::now();
    let recorder = args.options.events();
    let events: Arc<dyn Sink> = recorder.clone();
    let file = &args.options.inventory.inventory;
    let mut given = consent.given(file)?;
    given.inventory.cluster.take_out(&args.nodes, force);
    let purpose = Purpose { changes: !args.dry_run, ..Purpose::REMOVE };
    let mut session = Session::open(given, purpose, run::trust(), &events).await?;
    let silent = |leaving: &&Leaving| {
        leaving.node.is_none() || session.unreachable.contains_key(&leaving.name)
    };
    let cluster = &session.context.cluster;
    let silent: Vec<String> =
        cluster.leaving.iter().filter(silent).map(|leaving| leaving.name.clone()).collect();
    for name in &silent {
        say_error(format!("{name}: its machine is not reached, and will not be reset"));
    }
    if args.dry_run {
        args.options.show_plan(&session.plan, session.last_apply().as_ref());
        return Ok(ExitCode::SUCCESS);
    }
    let carried = args.options.carry_out(&mut session, &recorder, began, args.yes).await?;
    let cluster = &session.context.cluster;
    for leaving in cluster.leaving.iter().filter(|_| carried.went) {
        args.options.tell(format!("{} is no part of {} any more", leaving.name, cluster.name));
        say_error(left_to_do(leaving, silent.contains(&leaving.name), file));
    }
    Ok(carried.failed.map_or(ExitCode::SUCCESS, |worst| ExitCode::from(worst.exit_code())))
}

/// What is left to a person.
fn left_to_do(leaving: &Leaving, unreachable: bool, file: &Path) -> String {
    let (name, file) = (&leaving.name, file.display());
    let reset = "its machine was not reset: where it still runs, its pods go on, its keepalived may claim the virtual \
                 IP, and its kubelet adds its node again when it starts; `systemctl disable --now keepalived haproxy \
                 slipway-approver`, then `kubeadm reset` there end that";
    match &leaving.node {
        None => format!("{name}: {reset}"),
        Some(_) if unreachable => {
            format!(
                "{name}: {reset}. Remove its line from {file}, else the next apply waits for it"
            )
        }
        Some(_) => {
            format!("{name}: remove its line from {file}, else the next apply lets it join again")
        }
    }
}
