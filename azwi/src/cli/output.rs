//! How a subcommand writes what it found, and the exit code that follows from it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::facts::Gap;
use crate::report::Report;

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
}

/// Writes a report, and says how it ended. `written` is `None` when the report cannot be written.
pub(super) fn finish(written: Option<String>, report: &Report) -> ExitCode {
    if !written.is_some_and(|it| print(it.as_bytes())) {
        return ExitCode::from(EXIT_NOT_CHECKED);
    }
    exit_code(report.has_findings(), &report.gaps)
}

/// Writes what a subcommand is for.
pub(super) fn success(text: &[u8]) -> ExitCode {
    if print(text) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes to standard output, and returns whether that worked. A reader that ended early, such as `head`, has what it wants.
pub(super) fn print(text: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            super::complain(&format!("standard output cannot be written: {error}"));
            false
        }
        _ => true,
    }
}

/// Findings count more than what could not be read.
pub(super) fn exit_code(has_findings: bool, gaps: &[Gap]) -> ExitCode {
    if has_findings {
        ExitCode::from(EXIT_FINDINGS)
    } else if gaps.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_NOT_CHECKED)
    }
}

/// Something is wrong, or is to do.
pub(super) const EXIT_FINDINGS: u8 = 1;
/// Nothing is wrong as far as could be read, but not all could.
pub(super) const EXIT_NOT_CHECKED: u8 = 2;
