//! The command line: one file per subcommand. Arguments are parsed here and nowhere else.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::diagnostic::{Error, Kind, Result};

mod apply;
mod approve;
mod bundle;
mod hub;
mod kubeconfig;
mod lab;
mod log;
mod node;
mod plan;
mod preflight;
mod run;
mod unregister;
mod validate;
mod version;

/// Turns machines reachable by SSH into a highly available Kubernetes cluster, and keeps them one.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Append a detailed log to this file (0600; secrets are masked)
    #[arg(long, value_name = "FILE", global = true)]
    log_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Validate(validate::Args),
    Preflight(preflight::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Node(node::Args),
    Kubeconfig(kubeconfig::Args),
    Unregister(unregister::Args),
    Hub(hub::Args),
    Bundle(bundle::Args),
    Lab(lab::Args),
    /// Print the version, and the Kubernetes versions it installs
    Version,
    #[command(hide = true)]
    ApproveCertificates(approve::Args),
}

/// The inventory that is read where none is named.
const INVENTORY: &str = "slipway.yaml";

/// The inventory, for every command that reads one.
#[derive(Debug, clap::Args)]
struct InventoryArg {
    /// The inventory, a YAML file
    #[arg(short, long, value_name = "FILE", default_value = INVENTORY)]
    inventory: PathBuf,
}

impl InventoryArg {
    /// How a command names this inventory, with a space behind; nothing for the default.
    fn as_argument(&self) -> String {
        match self.inventory.display().to_string() {
            path if path == INVENTORY => String::new(),
            path => format!("-i {path} "),
        }
    }
}

/// Reports unreachable nodes; returns the exit code for them, if there are any.
fn tell_unreachable(unreachable: &BTreeMap<String, Error>) -> Option<ExitCode> {
    for error in unreachable.values() {
        say_error(error);
    }
    unreachable.values().next().map(|error| ExitCode::from(error.kind().exit_code()))
}

/// Parses the process's arguments, runs the subcommand, shows its error, and gives the exit code.
// Here, not in the program: a future is compiled where it is run, and tests would wait for both.
#[tokio::main]
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            let usage = e.use_stderr();
            return ExitCode::from(if usage { Kind::Usage.exit_code() } else { 0 });
        }
    };
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            say_error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    if let Some(path) = &cli.log_file {
        log::start(path)?;
    }
    match cli.command {
        Command::Validate(args) => validate::run(&args),
        Command::Preflight(args) => preflight::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::Node(args) => node::run(args).await,
        Command::Kubeconfig(args) => kubeconfig::run(&args),
        Command::Unregister(args) => unregister::run(args).await,
        Command::Hub(args) => hub::run(args).await,
        Command::Bundle(args) => bundle::run(args).await,
        Command::Lab(args) => lab::run(args).await,
        Command::Version => Ok(version::run()),
        Command::ApproveCertificates(args) => approve::run(args).await,
    }
}

/// Writes one line (or block) to standard output; a closed pipe is no error worth a message.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes an error, or progress that is not the result, to standard error.
pub(crate) fn say_error(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
