//! How far a migration is, for people and for programs.

use std::fmt::{Result, Write};

use serde::Serialize;
use webhook::inject::printable;

use super::super::status::{Progress, Removal, State};
use super::text::{none, table, write_gaps};
use crate::document;
use crate::facts::Gap;

/// Writes a table of the workloads, what they wait for, and what can be removed. `removals` are `None` where not the
/// whole cluster was read.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn text(
    out: &mut impl Write,
    progress: &[Progress],
    removals: Option<&[Removal]>,
    gaps: &[Gap],
) -> Result {
    let rows: Vec<[String; 2]> = progress
        .iter()
        .map(|it| [it.object.to_string(), it.state.as_str().to_owned()])
        .collect();
    if rows.is_empty() {
        none(out, gaps)?;
    } else {
        table(out, &["WORKLOAD", "STATE"].map(str::to_owned), &rows)?;
    }
    for it in progress {
        let Some(reason) = &it.reason else { continue };
        writeln!(
            out,
            "\n{}: {}: {}",
            it.state.as_str(),
            it.object,
            printable(reason)
        )?;
        if let Some(fix) = &it.fix {
            writeln!(out, "    {}", printable(fix))?;
        }
    }
    writeln!(out)?;
    let count = |state| progress.iter().filter(|it| it.state == state).count();
    writeln!(
        out,
        "{} done, {} waiting, {} to move, {} blocked",
        count(State::Done),
        count(State::Waiting),
        count(State::Ready),
        count(State::Blocked)
    )?;
    match removals {
        Some(removals) => write_removals(out, removals)?,
        None => writeln!(
            out,
            "What can be removed is known when the whole cluster could be read."
        )?,
    }
    write_gaps(out, gaps)
}

fn write_removals(out: &mut impl Write, removals: &[Removal]) -> Result {
    let (now, later): (Vec<_>, Vec<_>) = removals.iter().partition(|it| it.users.is_empty());
    if !now.is_empty() {
        writeln!(out, "\nCan be removed now:")?;
    }
    for it in now {
        writeln!(out, "    {}", it.command)?;
    }
    if !later.is_empty() {
        writeln!(out, "\nIs needed still:")?;
    }
    for it in later {
        let users: Vec<&str> = it
            .users
            .iter()
            .take(MAX_USERS)
            .map(String::as_str)
            .collect();
        let more = if it.users.len() > MAX_USERS {
            ", …"
        } else {
            ""
        };
        writeln!(out, "    {}, by {}{more}", it.object, users.join(", "))?;
    }
    Ok(())
}

/// The same as JSON.
///
/// # Errors
///
/// Never in practice: every map key is a string.
pub fn json(
    progress: &[Progress],
    removals: Option<&[Removal]>,
    gaps: &[Gap],
) -> std::result::Result<String, serde_json::Error> {
    let contents = Document {
        workloads: progress,
        removals,
        not_read: gaps.iter().map(|it| it.resource.as_str()).collect(),
    };
    Ok(document::escaped(&serde_json::to_string_pretty(&contents)?) + "\n")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    workloads: &'a [Progress],
    removals: Option<&'a [Removal]>,
    not_read: Vec<&'a str>,
}

/// Users that a line names.
const MAX_USERS: usize = 5;
