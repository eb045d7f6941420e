//! `slipway lab`: nodes on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use jiff::SignedDuration;

use super::{say, say_error};
use crate::diagnostic::{Error, Kind, Result};
use crate::lab::quantity::{Share, Size};
use crate::lab::spec::Lab;
use crate::lab::{self, Condition, Fault, State, Wanted};
use crate::report::Format;

/// Create, inspect, break and remove nodes on this machine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create or repair a lab; write its inventory, key and known hosts.
    Up(Up),
    /// Show the nodes, their state and their faults.
    Status {
        #[command(flatten)]
        lab: Name,
        /// How to show it.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
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
    /// Cut a node's network: drop every packet to and from it, silently.
    ///
    /// With --for, the kernel ends it in time, whatever happens to slipway.
    Cut {
        #[command(flatten)]
        of: OneNode,
        #[command(flatten)]
        lasts: Lasts,
    },
    /// Delay every packet to a node, so that each answer takes this much longer.
    Delay {
        #[command(flatten)]
        of: OneNode,
        /// How much later each packet comes, say `50ms`.
        #[arg(value_parser = duration)]
        time: Duration,
    },
    /// Lose a share of the packets to a node, and of those from it.
    Loss {
        #[command(flatten)]
        of: OneNode,
        /// How many, say `5%`.
        share: Share,
    },
    /// Fill a node's disk, so that writing there fails.
    ///
    /// The node must have a disk of its own (`up --disk SIZE`), a sparse file of this machine's.
    /// Another file takes all that is free there, which takes no room on this machine.
    Fill {
        #[command(flatten)]
        of: OneNode,
        /// How much stays free, say `50M`.
        #[arg(long, value_name = "SIZE", default_value = "0")]
        leave: Size,
    },
    /// Hold the lock of apt and dpkg on a node.
    ///
    /// A process on the node takes it as apt-get does, as soon as nobody else has it.
    Hold {
        #[command(flatten)]
        of: OneNode,
        #[command(flatten)]
        lasts: Lasts,
    },
    /// End all of a node's faults: cut, delay, loss, fill, hold.
    ///
    /// They also end when the node starts again, and with `slipway lab up`.
    Mend(OneNode),
    /// Shut all nodes down, copy their disks, start them again.
    ///
    /// An older snapshot of this name is replaced. Faults end. What is beside the inventory, the
    /// cluster's keys above all, is no part of a snapshot.
    Snapshot(OneSnapshot),
    /// Give all nodes the disks of a snapshot, and start them.
    ///
    /// Their power is cut first. Faults end.
    Restore {
        #[command(flatten)]
        of: OneSnapshot,
        /// Only this node: it is then as if it were reinstalled; may be given again.
        #[arg(long = "node", value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// List a lab's snapshots.
    Snapshots(Name),
    /// Remove a lab, but for what was changed or written beside its inventory.
    Down {
        #[command(flatten)]
        lab: Name,
        /// Remove every lab of this machine.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    #[command(hide = true)]
    RunNode(OneNode),
    #[command(hide = true)]
    DelayLine {
        tap: PathBuf,
        #[arg(value_parser = duration)]
        time: Duration,
    },
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
struct Lasts {
    /// How long, say `20s` [default: until `slipway lab mend`].
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct OneSnapshot {
    #[command(flatten)]
    lab: Name,
    /// The snapshot's name, say `bare`.
    snapshot: String,
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
    /// Give each new node a disk of its own, of this size [default: they share this machine's].
    #[arg(long, value_name = "SIZE")]
    disk: Option<Size>,
    /// The Kubernetes version that the inventory asks for [default: the newest for a new lab].
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<String>,
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
        Command::Cut { of, lasts: Lasts { time } } => inject(&of, Fault::Cut(time)).await?,
        Command::Delay { of, time } => inject(&of, Fault::Delay(time)).await?,
        Command::Loss { of, share } => inject(&of, Fault::Loss(share)).await?,
        Command::Fill { of, leave } => inject(&of, Fault::Fill(leave)).await?,
        Command::Hold { of, lasts: Lasts { time } } => inject(&of, Fault::Hold(time)).await?,
        Command::Mend(of) => lab::mend(&of.lab.name, &of.node, &progress).await?,
        Command::Snapshot(of) => lab::snapshot(&of.lab.name, &of.snapshot, &progress).await?,
        Command::Restore { of, nodes } => {
            lab::restore(&of.lab.name, &of.snapshot, &nodes, &progress).await?;
        }
        Command::Snapshots(lab) => lab::snapshots(&lab.name)?.iter().for_each(say),
        Command::Down { lab, all } => {
            for name in if all { lab::names() } else { vec![lab.name] } {
                lab::down(&name, &progress).await?;
            }
        }
        Command::RunNode(of) => lab::supervise(&of.lab.name, &of.node).await?,
        Command::DelayLine { tap, time } => lab::delay_line(&tap, time, &|line| say(line)).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn inject(of: &OneNode, fault: Fault) -> Result<()> {
    lab::inject(&of.lab.name, &of.node, &fault, &|line| say_error(line)).await
}

/// Reads a time: `20s`, `1m30s`, `50ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let time: SignedDuration = text.parse().map_err(|e: jiff::Error| e.to_string())?;
    let time = Duration::try_from(time).unwrap_or_default();
    if time.is_zero() { Err("a time is more than nothing".to_owned()) } else { Ok(time) }
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
        disk: args.disk,
    };
    let lab = lab::up(&wanted, &|line| say_error(line)).await?;
    say(format!("lab `{}` is up: {} nodes", lab.name, lab.nodes.len()));
    say(format!("  inventory  {}", lab::inventory_path(&lab).display()));
    say(format!("  log in     slipway lab ssh --name {} cp-1", lab.name));
    say(format!("  remove     slipway lab down --name {}", lab.name));
    Ok(())
}

async fn status(name: &str, output: Format) -> Result<()> {
    let (lab, conditions) = lab::status(name).await?;
    match output {
        Format::Text => {
            for (node, Condition { state, faults }) in lab.nodes.iter().zip(conditions) {
                let (name, role, address) = (&node.name, node.role.name(), node.address);
                let how = [&[word(state).to_owned()], faults.as_slice()].concat().join("; ");
                say(format!("{name:<6} {role:<14} {address:<14} {how}"));
            }
        }
        Format::Json => say(json(&lab, &conditions)?),
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

fn json(lab: &Lab, conditions: &[Condition]) -> Result<String> {
    let nodes = lab.nodes.iter().zip(conditions).map(|(node, Condition { state, faults })| {
        serde_json::json!({
            "name": node.name, "role": node.role, "address": node.address, "state": state,
            "faults": faults,
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
