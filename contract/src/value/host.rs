//! The host and port of a URL: the part of RFC 3986 that every URL library reads in the same way.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A host in lower case, and a port if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A DNS name, an IPv4 address, or an IPv6 address in brackets.
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

impl Host {
    /// Reads `HOST` or `HOST:PORT`. An empty port is none (RFC 3986, section 3.2.3).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, port) = text.split_at(end);
                let name = name.to_ascii_lowercase();
                if !is_dns_name(&name) && name.parse::<Ipv4Addr>().is_err() {
                    return None;
                }
                (name, port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        Some(Self { name, port })
    }

    /// `HOST` or `HOST:PORT`.
    pub(super) fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Whether `name`, in lower case, is a DNS name in ASCII that no URL library reads as an address.
///
/// Labels with `xn--` are refused: libraries interpret them differently.
pub(super) fn is_dns_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let is_known = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && label.bytes().all(is_known)
            && !label.starts_with("xn--")
    };
    let last = labels.rsplit('.').next().unwrap_or_default();
    // The URL standard reads a host whose last label is a number as an IPv4 address.
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    name.len() <= MAX_NAME && labels.split('.').all(is_label) && !is_number
}

/// RFC 1035, section 2.3.4, in bytes.
const MAX_LABEL: usize = 63;
/// RFC 1035, section 2.3.4, in bytes as text.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_addresses_and_ports() {
        for (text, name, port) in [
            ("Login.Example", "login.example", None),
            ("login.example.:443", "login.example.", Some(443)),
            ("login.example:", "login.example", None),
            ("my_proxy:3128", "my_proxy", Some(3128)),
            ("10.0.0.1:3128", "10.0.0.1", Some(3128)),
            ("[FD00::1]", "[fd00::1]", None),
            ("[fd00::1]:65535", "[fd00::1]", Some(65535)),
        ] {
            let name = name.to_owned();
            assert_eq!(Host::parse(text), Some(Host { name, port }), "{text}");
        }
    }

    #[test]
    fn rejects_hosts_that_libraries_read_differently() {
        let long = "a".repeat(64);
        for text in [
            "",
            ":1",
            "a:x",
            "a:+1",
            "a:65536",
            "a:1:2",
            "a b",
            "a..b",
            ".a",
            "a/b",
            "a@b",
            "a%41",
            "\u{fc}",
            "xn--a",
            "a.xn--b.c",
            "1",
            "1.2.3",
            "1.2.3.4.",
            "1.2.3.04",
            "0x7f",
            "a.0x",
            "[::",
            "[::1",
            "[::1]1",
            "[fe80::1%eth0]",
            "[1.2.3.4]",
            "::1",
            &long,
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }
}
