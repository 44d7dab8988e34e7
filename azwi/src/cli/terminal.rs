//! Standard output and standard error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use webhook::inject::printable;

/// Writes the result of a subcommand to standard output.
pub(super) fn success(text: &[u8]) -> ExitCode {
    if print(text) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes to standard output, and returns whether that worked. A reader that ended early, such as `head`, is no failure.
pub(super) fn print(text: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_mistake(&format!("standard output cannot be written: {error}"));
            false
        }
        _ => true,
    }
}

/// Writes a mistake, or a remark about the result, to standard error, without control characters: names in it may
/// come from a cluster.
pub(super) fn print_mistake(mistake: &impl fmt::Display) {
    for line in mistake.to_string().lines() {
        note(&format!("azwi: {}", printable(line)));
    }
}

/// Writes lines to standard error. A standard error that is closed is no failure.
pub(super) fn note(lines: &str) {
    let _ = writeln!(io::stderr(), "{lines}");
}

/// NO_COLOR of any value but an empty one switches colours off (no-color.org).
pub(super) fn is_colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}
