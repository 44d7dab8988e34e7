//! How a subcommand writes what it found, and the exit code that follows from it.

use std::process::ExitCode;

use clap::ValueEnum;

use super::terminal::print;
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
