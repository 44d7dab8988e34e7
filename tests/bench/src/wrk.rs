//! Throughput by [wrk](https://github.com/wg/wrk): as many requests as the server answers.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The counts of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    /// The number of answered requests.
    pub requests: u64,
    /// Answered requests a second.
    pub per_second: f64,
}

/// Loads a server over `connections` connections from one thread. `more` goes to wrk as it is.
///
/// # Errors
///
/// When wrk is missing, a connection fails or an answer is not 2xx.
pub fn load(
    url: &str,
    connections: u32,
    seconds: u32,
    more: &[impl AsRef<OsStr>],
) -> Result<Count> {
    let output = Command::new("wrk")
        .arg("--threads=1")
        .arg(format!("--connections={connections}"))
        .arg(format!("--duration={seconds}s"))
        .arg(url)
        .args(more)
        .output()
        .context("cannot start wrk (apt-get install wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("wrk ended with {}: {text}{errors}", output.status);
    }
    parse(&text)
}

fn parse(text: &str) -> Result<Count> {
    if text.contains("Socket errors:") || text.contains("Non-2xx") {
        bail!("the server failed under load:\n{text}");
    }
    let lines = || text.lines().map(str::trim);
    let requests = lines()
        .find_map(|line| line.split_once(" requests in ")?.0.parse().ok())
        .with_context(|| format!("wrk reports no number of requests:\n{text}"))?;
    let per_second = lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
        .with_context(|| format!("wrk reports no rate:\n{text}"))?;
    Ok(Count {
        requests,
        per_second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 1s test @ http://127.0.0.1:8000/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   120.05us   91.76us   2.53ms   97.41%
    Req/Sec   130.54k     4.07k  136.81k    60.00%
  129864 requests in 1.00s, 24.15MB read
Requests/sec: 129798.59
Transfer/sec:     24.14MB
";

    #[test]
    fn reads_the_counts() {
        let count = Count {
            requests: 129_864,
            per_second: 129_798.59,
        };
        assert_eq!(parse(REPORT).unwrap(), count);
    }

    #[test]
    fn a_run_with_errors_is_an_error() {
        let line = "  Socket errors: connect 0, read 3, write 0, timeout 0\n";
        assert!(parse(&format!("{REPORT}{line}")).is_err());
        assert!(parse(&format!("{REPORT}  Non-2xx or 3xx responses: 7\n")).is_err());
    }

    #[test]
    fn a_report_of_something_else_is_an_error() {
        assert!(parse("unable to connect to 127.0.0.1:8000 Connection refused").is_err());
    }
}
