//! `azwi jwks`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::output::EXIT_FINDINGS;
use super::terminal::{print_mistake, success};
use crate::facts::key_set::KeySet;
use crate::issuer::read_keys;

/// Write the JSON Web Key Set of public keys, as upstream's azwi jwks does
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// PEM files with RSA keys, separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// Where to write [standard output]
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

/// Writes the key set.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let written = read(&arguments.public_keys).and_then(|set| {
        let text = set.document().map_err(|error| error.to_string())?;
        match &arguments.output_file {
            Some(file) => fs::write(file, text)
                .map(|()| ExitCode::SUCCESS)
                .map_err(|error| in_file(file, error)),
            None => Ok(success(format!("{text}\n").as_bytes())),
        }
    });
    written.unwrap_or_else(|sentence| {
        print_mistake(&sentence);
        ExitCode::from(EXIT_FINDINGS)
    })
}

/// The keys of these files.
pub(super) fn read(files: &[PathBuf]) -> Result<KeySet, String> {
    let mut keys = Vec::new();
    for file in files {
        let text = fs::read(file).map_err(|error| in_file(file, error))?;
        keys.extend(read_keys(&text).map_err(|error| in_file(file, error))?);
    }
    Ok(KeySet::of(&keys))
}

fn in_file(file: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", file.display())
}
