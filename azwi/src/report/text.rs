//! Text for people: one line a finding, then the command that fixes it, then the code and its page.

use std::fmt::{Result, Write};

use webhook::inject::printable;

use super::Report;
use crate::checks::{Finding, Severity};
use crate::facts::Gap;
use crate::facts::manifest::Place;

/// How to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether the severities have colours.
    pub is_coloured: bool,
    /// Whether information is written too.
    pub with_information: bool,
}

/// Writes a report.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write(out: &mut impl Write, report: &Report, style: Style) -> Result {
    write_findings(out, report, style)?;
    write_summary(out, report)
}

/// Writes the findings of a report, and what could not be checked.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_findings(out: &mut impl Write, report: &Report, style: Style) -> Result {
    let shown =
        |it: &&Finding| style.with_information || it.code.severity() != Severity::Information;
    for finding in report.findings.iter().filter(shown) {
        write_finding(out, finding, style)?;
    }
    for gap in &report.gaps {
        write_gap(out, gap, style)?;
    }
    Ok(())
}

/// Writes what could not be read.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_gaps(out: &mut impl Write, gaps: &[Gap]) -> Result {
    gaps.iter()
        .try_for_each(|it| write_gap(out, it, Style::default()))
}

fn write_finding(out: &mut impl Write, finding: &Finding, style: Style) -> Result {
    let Finding {
        code,
        cause,
        object,
        fix,
        place,
    } = finding;
    let severity = code.severity();
    let colour = match severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
        Severity::Information => PLAIN,
    };
    let word = painted(severity.as_str(), colour, style);
    if let Some(Place { file, line }) = place {
        write!(out, "{}:{line}: ", printable(file))?;
    }
    writeln!(out, "{word}: {cause}: {object}")?;
    if let Some(fix) = fix {
        writeln!(out, "    {fix}")?;
    }
    writeln!(out, "    {code} {}", code.page())
}

fn write_gap(out: &mut impl Write, gap: &Gap, style: Style) -> Result {
    let word = painted("not checked", YELLOW, style);
    let Gap {
        verb,
        resource,
        namespace,
        ..
    } = gap;
    let resource = printable(resource);
    let place = namespace.as_ref();
    let place = place.map(|it| format!(" in namespace {}", printable(it)));
    if gap.is_forbidden {
        let place = place.unwrap_or_else(|| " in the cluster".to_owned());
        let is_dry_run = *verb == "create" && resource == "pods";
        let hint = if is_dry_run {
            ": --no-dry-run leaves it out"
        } else {
            ""
        };
        writeln!(
            out,
            "{word}: the right to {verb} {resource}{place} is missing{hint}"
        )
    } else {
        let reason: String = gap.reason.chars().take(MAX_REASON).collect();
        let place = place.unwrap_or_default();
        writeln!(
            out,
            "{word}: {verb} {resource}{place}: {}",
            printable(&reason)
        )
    }
}

fn write_summary(out: &mut impl Write, report: &Report) -> Result {
    let count = |severity| {
        let findings = report.findings.iter();
        findings.filter(|it| it.code.severity() == severity).count()
    };
    let checked = report.checked;
    write!(
        out,
        "{} errors, {} warnings; looked at {} workloads, {} pods, {} service accounts",
        count(Severity::Error),
        count(Severity::Warning),
        checked.workloads,
        checked.pods,
        checked.accounts
    )?;
    match report.gaps.len() {
        0 => writeln!(out),
        gaps => writeln!(out, "; {gaps} not checked"),
    }
}

fn painted(word: &str, colour: &str, style: Style) -> String {
    if style.is_coloured {
        format!("{colour}{word}{PLAIN}")
    } else {
        word.to_owned()
    }
}

const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";
/// Characters of an answer of the API server.
const MAX_REASON: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Code;
    use crate::command::Command;
    use crate::facts::object::Object;

    fn text(style: Style) -> String {
        let finding = |code, name: &str| Finding {
            code,
            cause: "cause".to_owned(),
            object: Object::new("Deployment", "prod", name),
            fix: Some(Command::new("kubectl fix")),
            place: None,
        };
        let report = Report {
            findings: vec![finding(Code::Label, "shop"), finding(Code::Unused, "idle")],
            gaps: vec![Gap {
                verb: "list",
                resource: "pods".to_owned(),
                namespace: None,
                is_forbidden: true,
                reason: "secret".to_owned(),
            }],
            ..Report::default()
        };
        let mut out = String::new();
        write(&mut out, &report, style).unwrap();
        out
    }

    #[test]
    fn writes_the_cause_first_then_the_fix_then_the_code() {
        assert_eq!(
            text(Style::default()),
            "error: cause: Deployment prod/shop\n    kubectl fix\n    AZWI-W001 docs/checks.md#azwi-w001\n\
             not checked: the right to list pods in the cluster is missing\n\
             1 errors, 0 warnings; looked at 0 workloads, 0 pods, 0 service accounts; 1 not checked\n"
        );
    }

    #[test]
    fn colours_and_information_are_off_unless_asked_for() {
        let all = Style {
            is_coloured: true,
            with_information: true,
        };
        assert!(text(all).contains("\u{1b}[31merror\u{1b}[0m") && text(all).contains("idle"));
        assert!(!text(Style::default()).contains(['\u{1b}']));
        assert!(!text(Style::default()).contains("idle"));
    }
}
