//! The end of a log, for a message about a failure.

use std::fs;
use std::path::Path;

/// How many lines a message shows.
const LINES: usize = 30;

/// The last lines of the file, each behind a bar; or why it cannot be read.
pub(crate) fn of(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => format!(
            "the end of {}:\n{}",
            path.display(),
            last_lines(&String::from_utf8_lossy(&bytes))
        ),
        Err(error) => format!("its log {} cannot be read: {error}", path.display()),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    let shown: Vec<String> = lines
        .iter()
        .skip(skipped)
        .map(|line| format!("  | {line}"))
        .collect();
    if shown.is_empty() {
        "  | (empty)".to_owned()
    } else {
        shown.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_last_thirty_lines() {
        let text: String = (1..=40).map(|n| format!("line {n}\n")).collect();
        let shown = last_lines(&text);
        assert!(shown.starts_with("  | line 11\n"), "{shown}");
        assert!(shown.ends_with("  | line 40"), "{shown}");
    }

    #[test]
    fn says_that_a_log_is_empty() {
        assert_eq!(last_lines(""), "  | (empty)");
    }
}
