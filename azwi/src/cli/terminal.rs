//! Standard output and standard error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use webhook::inject::printable;

/// Writes to standard output. A reader that ended early, such as `head`, is no failure.
pub(super) fn print(text: &[u8]) -> ExitCode {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Writes a mistake to standard error, without control characters: names in it may come from a cluster.
pub(super) fn print_mistake(mistake: &impl fmt::Display) {
    for line in mistake.to_string().lines() {
        eprintln!("azwi: {}", printable(line));
    }
}

/// NO_COLOR of any value but an empty one switches colours off (no-color.org).
pub(super) fn is_colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}
