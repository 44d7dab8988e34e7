//! The result: a Markdown table with aligned columns.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

/// The goal of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// None: the row explains another.
    None,
    /// At least this share of the bare server's figure.
    ShareOfBare(f64),
    /// At most this many times the bare server's figure.
    TimesBare(f64),
    /// At most this figure.
    AtMost(f64),
}

/// One measurement, for every server and round.
#[derive(Debug)]
pub struct Row {
    what: String,
    goal: Goal,
    figures: BTreeMap<&'static str, Vec<f64>>,
}

impl Row {
    /// A row without figures.
    pub fn new(what: impl Into<String>, goal: Goal) -> Self {
        Self {
            what: what.into(),
            goal,
            figures: BTreeMap::new(),
        }
    }

    /// Adds the figure of a server's next round.
    pub fn add(&mut self, server: &'static str, figure: f64) {
        self.figures.entry(server).or_default().push(figure);
    }

    fn median(&self, server: &str) -> Option<f64> {
        median(self.figures.get(server)?.clone())
    }

    /// The median of the rounds' ratios. Measurements of one round saw the same load on the machine.
    fn ratio(&self, ours: &str) -> Option<f64> {
        let pairs = self.figures.get(ours)?.iter().zip(self.figures.get(BARE)?);
        median(pairs.map(|(ours, bare)| ours / bare).collect())
    }

    fn verdict(&self, ours: &str) -> (String, &'static str) {
        let (text, is_reached) = match self.goal {
            Goal::None => return (String::new(), ""),
            Goal::ShareOfBare(share) => (
                format!("≥ {share} × bare"),
                self.ratio(ours).map(|ratio| ratio >= share),
            ),
            Goal::TimesBare(times) => (
                format!("≤ {times} × bare"),
                self.ratio(ours).map(|ratio| ratio <= times),
            ),
            Goal::AtMost(most) => (format!("≤ {most}"), self.median(ours).map(|it| it <= most)),
        };
        (
            text,
            is_reached.map_or("not measured", |is| if is { "yes" } else { "**no**" }),
        )
    }
}

/// The name of the bare server.
pub const BARE: &str = "bare";

/// Renders the rows with a column for each server, the first of which is ours.
pub fn render(servers: &[&str], rows: &[Row]) -> String {
    let ours = servers.first().copied().unwrap_or_default();
    let mut head = vec!["what (median)".to_owned()];
    head.extend(servers.iter().map(|name| (*name).to_owned()));
    head.extend([
        format!("{ours} : {BARE}"),
        "goal".to_owned(),
        "reached".to_owned(),
    ]);
    let mut lines = vec![head];
    for row in rows {
        let mut cells = vec![row.what.clone()];
        cells.extend(servers.iter().map(|name| number(row.median(name))));
        let (goal, reached) = row.verdict(ours);
        cells.extend([number(row.ratio(ours)), goal, reached.to_owned()]);
        lines.push(cells);
    }
    aligned(&lines)
}

/// The date, kernel and CPU, in one line.
pub fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let date = time::OffsetDateTime::now_utc().date();
    format!("{date}, Linux {}, {model}, {cores} cores", kernel.trim())
}

/// A Markdown table: the first line is its head, and all columns but the first are numbers.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            // Writing to a string does not fail.
            let _ = match column {
                0 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, &width) in widths.iter().enumerate() {
                let _ = match column {
                    0 => write!(text, "|{:-<1$}", "", width + 2),
                    _ => write!(text, "|{:-<1$}:", "", width + 1),
                };
            }
            text.push_str("|\n");
        }
    }
    text
}

fn number(figure: Option<f64>) -> String {
    match figure {
        None => "–".to_owned(),
        Some(figure) if figure >= 1_000.0 => thousands(figure),
        Some(figure) if figure >= 100.0 || figure.fract() == 0.0 => format!("{figure:.0}"),
        Some(figure) if figure >= 10.0 => format!("{figure:.1}"),
        Some(figure) => format!("{figure:.2}"),
    }
}

fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = figures.get(middle)?;
    if figures.len() % 2 == 1 {
        return Some(*upper);
    }
    figures
        .get(middle - 1)
        .map(|lower| f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal, ours: &[f64], bare: &[f64]) -> Row {
        let mut row = Row::new("requests", goal);
        ours.iter().for_each(|figure| row.add("proxy", *figure));
        bare.iter().for_each(|figure| row.add(BARE, *figure));
        row
    }

    #[test]
    fn compares_servers_round_by_round() {
        // The machine was twice as slow in the second round, for both.
        let row = row(
            Goal::ShareOfBare(0.9),
            &[95.0, 45.5, 94.0],
            &[100.0, 50.0, 100.0],
        );
        assert_eq!(row.ratio("proxy"), Some(0.94));
        assert_eq!(row.verdict("proxy").1, "yes");
    }

    #[test]
    fn reports_missed_goals() {
        let missed = "**no**";
        assert_eq!(
            row(Goal::ShareOfBare(0.9), &[89.0], &[100.0])
                .verdict("proxy")
                .1,
            missed
        );
        assert_eq!(
            row(Goal::TimesBare(1.25), &[1.3], &[1.0])
                .verdict("proxy")
                .1,
            missed
        );
        assert_eq!(
            row(Goal::AtMost(4.5), &[4.6], &[]).verdict("proxy").1,
            missed
        );
        assert_eq!(
            row(Goal::AtMost(4.5), &[4.5], &[]).verdict("proxy").1,
            "yes"
        );
        assert_eq!(
            row(Goal::AtMost(4.5), &[], &[]).verdict("proxy").1,
            "not measured"
        );
    }

    #[test]
    fn renders_markdown() {
        let rows = [
            row(Goal::AtMost(2e6), &[1_234_567.0], &[]),
            row(Goal::None, &[2.5], &[5.0]),
        ];
        assert_eq!(
            render(&["proxy", BARE], &rows),
            "\
| what (median) |     proxy | bare | proxy : bare |      goal | reached |
|---------------|----------:|-----:|-------------:|----------:|--------:|
| requests      | 1,234,567 |    – |            – | ≤ 2000000 |     yes |
| requests      |      2.50 |    5 |         0.50 |           |         |
"
        );
    }

    #[test]
    fn the_median_of_an_even_count_is_between_two() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
