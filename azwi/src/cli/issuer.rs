//! `azwi issuer`.

mod check;
mod publish;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Check or write the documents that Entra reads of the cluster's issuer
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Publish(publish::Arguments),
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Publish(arguments) => publish::run(arguments),
    }
}
