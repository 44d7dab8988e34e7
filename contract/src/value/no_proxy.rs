//! Hosts that are reached without the egress proxy.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Names, addresses and networks separated by commas (`NO_PROXY`). Entries that match no host have no
/// effect, as with Go and curl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProxy(String);

/// The text cannot be a list of hosts.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} has control characters inside of an entry: separate hosts with commas")]
pub struct NoProxyError(String);

impl NoProxy {
    /// The entries, separated by commas.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NoProxy {
    type Err = NoProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if !text.contains(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        // A YAML block or a file puts a line break behind each comma.
        let entries: Vec<_> = text.split(',').map(str::trim).collect();
        let list = entries.join(",");
        if list.contains(char::is_control) {
            return Err(NoProxyError(text.to_owned()));
        }
        Ok(Self(list))
    }
}

impl fmt::Display for NoProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_by_commas_alone() {
        let list: NoProxy = " 10.0.0.0/8, .svc\n".parse().unwrap();
        assert_eq!(list.as_str(), "10.0.0.0/8, .svc");
        assert!("a\nb".parse::<NoProxy>().is_err());
    }

    #[test]
    fn ignores_line_breaks_around_entries() {
        let list: NoProxy = "10.0.0.0/8,\n\t.svc,\r\nlocalhost".parse().unwrap();
        assert_eq!(list.as_str(), "10.0.0.0/8,.svc,localhost");
    }
}
