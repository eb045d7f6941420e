//! The `slipway-agent` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    slipway_agent::command::main()
}
