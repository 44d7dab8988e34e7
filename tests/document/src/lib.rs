//! The tables of `docs/flags-and-metrics.md`, made from a program's `--help` and from a scrape of its
//! metrics. The tests of each program compare its part of the page.

pub mod help;
pub mod scrape;

use std::path::Path;
use std::sync::Mutex;
use std::{env, fs};

/// Compares the part of the page with this name with the table, or writes it when the variable
/// `UPDATE_DOCS` is set.
///
/// # Errors
///
/// When the part is missing or different, or the page cannot be read or written.
pub fn hold(part: &str, table: &str) -> Result<(), String> {
    // Tests run in parallel.
    static IN_USE: Mutex<()> = Mutex::new(());
    let _guard = IN_USE.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/flags-and-metrics.md");
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let page = fs::read_to_string(&path).map_err(fail)?;
    let begin = format!("<!-- begin: {part} -->\n");
    let Some((before, (_, after))) = page
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once("<!-- end -->")?)))
    else {
        return Err(format!("{} has no part {part}", path.display()));
    };
    let wanted = format!("{before}{begin}{table}<!-- end -->{after}");
    if page == wanted {
        return Ok(());
    }
    if env::var_os("UPDATE_DOCS").is_none() {
        return Err(format!(
            "docs/flags-and-metrics.md, {part}, is out of date: run this test with UPDATE_DOCS=1. \
             It should be:\n{table}"
        ));
    }
    fs::write(&path, wanted).map_err(fail)
}

/// A table in Markdown.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| format!("| {} |\n", cells.join(" | "));
    let rows: String = rows.into_iter().map(line).collect();
    let rule = "|---".repeat(N);
    format!("{}{rule}|\n{rows}", line(head.map(str::to_owned)))
}

/// The text as Markdown code; empty text stays empty.
fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}
