//! The plan as a table for people, then what blocks, what to look at, and what to do next.

use std::fmt::{Result, Write};

use webhook::inject::printable;

use super::super::plan::{Move, Plan};
use crate::azure::plan::MAX_CREDENTIALS;
use crate::facts::Gap;

/// Writes the plan.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write(out: &mut impl Write, plan: &Plan, gaps: &[Gap]) -> Result {
    let rows: Vec<[String; COLUMNS]> = plan.moves.iter().map(|it| row(plan, it)).collect();
    if rows.is_empty() {
        none(out, gaps)?;
    } else {
        table(out, &HEADER.map(str::to_owned), &rows)?;
    }
    for finding in &plan.findings {
        let cause = printable(&finding.cause);
        writeln!(out, "\nblocked: everything: {cause}")?;
        write_fix(out, finding.fix.as_deref())?;
    }
    for it in plan.moves.iter().filter(|it| !it.is_moved()) {
        for block in &it.blocks {
            let reason = printable(&block.reason);
            writeln!(out, "\nblocked: {}: {reason}", it.workload.object)?;
            write_fix(out, block.fix.as_deref())?;
        }
    }
    write_list(out, plan)?;
    write_credentials(out, plan)?;
    write_gaps(out, gaps)
}

/// Says that there is no workload, as far as could be read.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn none(out: &mut impl Write, gaps: &[Gap]) -> Result {
    let read = if gaps.is_empty() {
        ""
    } else {
        " that could be read"
    };
    writeln!(out, "No workload{read} uses pod-managed identity.")
}

/// Rows under a header, in columns.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn table<const N: usize>(
    out: &mut impl Write,
    header: &[String; N],
    rows: &[[String; N]],
) -> Result {
    let width = |column: usize| {
        let cells = rows.iter().chain([header]).filter_map(|it| it.get(column));
        cells.map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in [header].into_iter().chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:width$}  ")?;
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What could not be read.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_gaps(out: &mut impl Write, gaps: &[Gap]) -> Result {
    for gap in gaps {
        let Gap { verb, resource, .. } = gap;
        let place = gap.namespace.as_deref();
        let place = place.map_or_else(|| "the cluster".to_owned(), |it| format!("namespace {it}"));
        let (resource, place) = (printable(resource), printable(&place));
        if gap.is_forbidden {
            writeln!(
                out,
                "not read: the right to {verb} {resource} in {place} is missing"
            )?;
        } else {
            let reason: String = gap.reason.chars().take(MAX_REASON).collect();
            writeln!(
                out,
                "not read: {verb} {resource} in {place}: {}",
                printable(&reason)
            )?;
        }
    }
    Ok(())
}

fn row(plan: &Plan, it: &Move) -> [String; COLUMNS] {
    let identities = match it.identities.as_slice() {
        [] => "none".to_owned(),
        [one] => one.name.clone(),
        [first, others @ ..] => format!("{} and {} more", first.name, others.len()),
    };
    let (namespace, name) = &it.account;
    let mut accounts = plan.accounts.iter();
    let is_new = accounts.any(|it| it.is_new && it.namespace == *namespace && it.name == *name);
    let state = if it.is_moved() {
        "moved"
    } else if it.can_move() && plan.findings.is_empty() {
        "to move"
    } else {
        "blocked"
    };
    [
        it.workload.object.to_string(),
        printable(&identities),
        it.sureness.as_str().to_owned(),
        if is_new {
            format!("{} (new)", printable(name))
        } else {
            printable(name)
        },
        state.to_owned(),
    ]
}

fn write_fix(out: &mut impl Write, fix: Option<&str>) -> Result {
    match fix {
        Some(fix) => writeln!(out, "    {}", printable(fix)),
        None => Ok(()),
    }
}

fn write_list(out: &mut impl Write, plan: &Plan) -> Result {
    let notes = plan.moves.iter().flat_map(|it| {
        let notes = it.notes.iter();
        notes.map(|note| format!("note: {}: {}", it.workload.object, printable(note)))
    });
    let left = plan.left.iter();
    let left = left.map(|it| format!("left: {}: {}", it.object, printable(&it.reason)));
    for (nth, line) in notes.chain(left).enumerate() {
        if nth == 0 {
            writeln!(out)?;
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn write_credentials(out: &mut impl Write, plan: &Plan) -> Result {
    if plan.usage.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for it in &plan.usage {
        let name = printable(&it.identity.name);
        match it.present {
            Some(present) => writeln!(
                out,
                "federated credentials of {name}: {present} of {MAX_CREDENTIALS}, {} to add",
                it.needed
            )?,
            None => writeln!(out, "federated credentials of {name}: {} to add", it.needed)?,
        }
    }
    Ok(())
}

const COLUMNS: usize = 5;
const HEADER: [&str; COLUMNS] = ["WORKLOAD", "IDENTITY", "SURE", "SERVICE ACCOUNT", "STATE"];
/// Characters of an answer of the API server.
const MAX_REASON: usize = 300;
