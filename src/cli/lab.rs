//! `slipway lab`: nodes on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{say, say_error};
use crate::diagnostic::{Error, Kind, Result};
use crate::lab::{self, State, Wanted, spec::Lab};

/// Make, look at, break and take down nodes on this machine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a lab, or repair the one there is; write its inventory, key and known hosts.
    Up(Up),
    /// Show the nodes and how they are.
    Status {
        #[command(flatten)]
        lab: Name,
        /// How to show it.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Log in to a node, or run a command there.
    Ssh {
        #[command(flatten)]
        lab: Name,
        /// `NODE` (as root) or `USER@NODE`.
        node: String,
        /// The command; without one, a shell.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Cut a node's power; its disk stays.
    Kill(OneNode),
    /// Switch a node on.
    Start(OneNode),
    /// Restart a node in an orderly way.
    Reboot(OneNode),
    /// Remove a lab and all traces of it.
    Down {
        #[command(flatten)]
        lab: Name,
        /// Remove every lab of this machine.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    #[command(hide = true)]
    RunNode(OneNode),
}

#[derive(Debug, clap::Args)]
struct Name {
    /// The lab's name.
    #[arg(long, default_value = "lab")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct OneNode {
    #[command(flatten)]
    lab: Name,
    /// The node's name, say `cp-1`.
    node: String,
}

#[derive(Debug, clap::Args)]
struct Up {
    #[command(flatten)]
    lab: Name,
    /// How many control planes [default: as it is, 3 for a new lab].
    #[arg(long)]
    control_planes: Option<u8>,
    /// How many workers [default: as it is, 2 for a new lab].
    #[arg(long)]
    workers: Option<u8>,
    /// Where the inventory goes [default: labs/NAME].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The Debian release of new nodes.
    #[arg(long, default_value = "bookworm")]
    release: String,
    /// The Debian release of new workers [default: as --release].
    #[arg(long, value_name = "RELEASE")]
    worker_release: Option<String>,
    /// The Kubernetes version that the inventory asks for [default: 1.37.1 for a new lab].
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let progress = |line: &str| say_error(line);
    match args.command {
        Command::Up(args) => up(args).await?,
        Command::Status { lab, output } => status(&lab.name, output).await?,
        Command::Ssh { lab, node, command } => {
            let code = lab::ssh(&lab.name, &node, &command).await?;
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        Command::Kill(of) => lab::kill(&of.lab.name, &of.node, &progress).await?,
        Command::Start(of) => lab::start(&of.lab.name, &of.node, &progress).await?,
        Command::Reboot(of) => lab::reboot(&of.lab.name, &of.node, &progress).await?,
        Command::Down { lab, all } => {
            for name in if all { lab::names() } else { vec![lab.name] } {
                lab::down(&name, &progress).await?;
            }
        }
        Command::RunNode(of) => lab::supervise(&of.lab.name, &of.node).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(args: Up) -> Result<()> {
    let wanted = Wanted {
        control_planes: args.control_planes,
        workers: args.workers,
        kubernetes: args.kubernetes,
        name: args.lab.name,
        dir: args.dir,
        release: args.release,
        worker_release: args.worker_release,
    };
    let lab = lab::up(&wanted, &|line| say_error(line)).await?;
    say(format!("lab `{}` is up: {} nodes", lab.name, lab.nodes.len()));
    say(format!("  inventory  {}", lab::inventory_path(&lab).display()));
    say(format!("  log in     slipway lab ssh --name {} cp-1", lab.name));
    say(format!("  remove     slipway lab down --name {}", lab.name));
    Ok(())
}

async fn status(name: &str, output: Output) -> Result<()> {
    let (lab, states) = lab::status(name).await?;
    match output {
        Output::Text => {
            for (node, state) in lab.nodes.iter().zip(states) {
                let (name, role, address) = (&node.name, node.role.name(), node.address);
                say(format!("{name:<6} {role:<14} {address:<14} {}", word(state)));
            }
        }
        Output::Json => say(json(&lab, &states)?),
    }
    Ok(())
}

fn word(state: State) -> &'static str {
    match state {
        State::Up => "up",
        State::Silent => "on, but does not answer",
        State::Off => "off",
    }
}

fn json(lab: &Lab, states: &[State]) -> Result<String> {
    let nodes = lab.nodes.iter().zip(states).map(|(node, state)| {
        serde_json::json!({
            "name": node.name, "role": node.role, "address": node.address, "state": state,
        })
    });
    let value = serde_json::json!({
        "name": lab.name,
        "inventory": lab::inventory_path(lab),
        "subnet": lab.subnet().to_string(),
        "nodes": nodes.collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&value).map_err(|e| Error::new(Kind::Bug, e.to_string()))
}
