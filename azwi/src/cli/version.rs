//! `azwi version`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output::Output;
use super::terminal::success;

/// Write the version
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to write it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Writes the version.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let version = contract::VERSION;
    let text = match arguments.output {
        Output::Text => format!("azwi {version}\n"),
        Output::Json => format!("{}\n", json!({ "version": version })),
    };
    success(text.as_bytes())
}
