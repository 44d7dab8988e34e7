//! Reads a scrape in the OpenMetrics text format.

use std::collections::BTreeSet;

use crate::{code, table};

/// A table of the metrics. The labels of a metric without a sample are unknown and left empty.
pub fn metrics(scrape: &str) -> String {
    let rows = scrape.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let help = scrape.lines().find_map(|line| {
            let text = line.strip_prefix("# HELP ")?.strip_prefix(name)?;
            text.strip_prefix(' ')
        });
        // Named as its samples are.
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: BTreeSet<_> = scrape
            .lines()
            .filter_map(|line| sample_labels(line, name))
            .flatten()
            .filter(|label| *label != "le")
            .map(code)
            .collect();
        let labels: Vec<_> = labels.into_iter().collect();
        Some([
            code(&format!("{name}{suffix}")),
            kind.to_owned(),
            labels.join(", "),
            help.unwrap_or_default().trim_end_matches('.').to_owned(),
        ])
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    table(["metric", "type", "labels", "meaning"], rows)
}

/// The names of a sample's labels, if the sample is one of this metric.
fn sample_labels<'a>(line: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let (sample, rest) = line.split_once('{')?;
    let suffix = sample.strip_prefix(name)?;
    if !["", "_total", "_info", "_bucket", "_sum", "_count"].contains(&suffix) {
        return None;
    }
    let (labels, _) = rest.rsplit_once('}')?;
    let names = labels
        .split("=\"")
        .map(|part| part.rsplit([',', '"']).next());
    let mut names: Vec<_> = names.map(Option::unwrap_or_default).collect();
    names.pop();
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_known_by_their_samples_names() {
        let scrape = "\
# HELP b Durations.
# TYPE b histogram
b_sum{code=\"x\",to=\"y\"} 1.0
b_bucket{le=\"1.0\",code=\"x\",to=\"a,b\"} 1
# HELP a Requests.
# TYPE a counter
a_total 1
# HELP ab Build.
# TYPE ab info
ab_info{version=\"1\"} 1
# EOF
";
        let table = metrics(scrape);
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `a_total` | counter |  | Requests |",
                "| `ab_info` | info | `version` | Build |",
                "| `b` | histogram | `code`, `to` | Durations |",
            ]
        );
    }
}
