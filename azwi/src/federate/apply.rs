//! Runs `az`, one call after the other: Azure refuses two writes to one identity at the same time.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use thiserror::Error;
use webhook::inject::printable;

use super::{Change, Removal};
use crate::azure::write::{self, Call};

/// Why a federated credential was not written.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The program cannot be started.
    #[error(
        "az does not start: {0}. Install the Azure CLI, or write the commands with -o az and run them elsewhere"
    )]
    Start(#[from] io::Error),
    /// It ended with an error.
    #[error("az ended with {status}: {message}")]
    Refused {
        /// Its exit code, or the signal.
        status: String,
        /// The start of what it wrote to standard error.
        message: String,
    },
}

/// Writes one federated credential with this program, `az` in general.
///
/// # Errors
///
/// When the program cannot be started, or Azure refuses.
pub fn apply(program: impl AsRef<OsStr>, change: &Change) -> Result<(), ApplyError> {
    let call = self::change(change);
    let output = Command::new(program)
        .args(&call.arguments)
        .args(["--only-show-errors", "--output", "none"])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let message: String = message.trim().chars().take(MAX_MESSAGE).collect();
    Err(ApplyError::Refused {
        status: output.status.to_string(),
        message: printable(&message.replace('\n', " ")),
    })
}

/// The call that makes a change.
#[must_use]
pub fn change(change: &Change) -> Call {
    if change.is_update {
        write::update(&change.wanted)
    } else {
        write::creation(&change.wanted)
    }
}

/// The call that removes a federated credential.
#[must_use]
pub fn removal(removal: &Removal) -> Call {
    write::removal(&removal.unwanted)
}

/// Characters of what `az` wrote.
const MAX_MESSAGE: usize = 1_000;
