//! What is redirected, where to, and who is exempt: read from the environment.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use contract::service_link::is_service_link;
use contract::{container, metadata, variable};

/// The checked configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address and port of IMDS (`METADATA_IP`, `METADATA_PORT`).
    pub metadata: SocketAddrV4,
    /// The port that the proxy listens on at 127.0.0.1 (`PROXY_PORT`).
    pub proxy_port: u16,
    /// The proxy's user (`PROXY_UID`).
    pub proxy_uid: u32,
    /// Whether the proxy relays to the real IMDS (`AZWI_RELAY` is not `deny`). Only then is its user
    /// exempt.
    pub relays: bool,
}

/// Every mistake of the configuration, so that one run shows them all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong configuration: {}", .0.join("; "))]
pub struct Mistakes(Vec<String>);

impl Config {
    /// Reads the configuration from `variable`, which gives the value of an environment variable.
    /// An absent or empty variable takes its default.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_environment(
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, Mistakes> {
        let mut reader = Reader {
            variable,
            mistakes: Vec::new(),
        };
        let config = Self {
            metadata: SocketAddrV4::new(
                reader.read(
                    variable::METADATA_IP,
                    metadata::ADDRESS,
                    "the IPv4 address of one host that is not this one",
                    |address: &Ipv4Addr| {
                        !(address.is_unspecified()
                            || address.is_loopback()
                            || address.is_multicast()
                            || address.is_broadcast())
                    },
                ),
                reader.port(variable::METADATA_PORT, metadata::PORT),
            ),
            proxy_port: reader.port(variable::PROXY_PORT, metadata::DEFAULT_PROXY_PORT),
            proxy_uid: reader.read(
                variable::PROXY_UID,
                container::PROXY_UID,
                "a user id from 1 to 4294967294 (0 would exempt every container that runs as root)",
                |uid: &u32| (1..u32::MAX).contains(uid),
            ),
            relays: (reader.variable)(variable::RELAY)
                .is_none_or(|policy| policy.to_string_lossy().trim() != "deny"),
        };
        if reader.mistakes.is_empty() {
            Ok(config)
        } else {
            Err(Mistakes(reader.mistakes))
        }
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn proxy(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.proxy_port)
    }
}

impl Mistakes {
    /// The proof would be exempt from the redirect that it is to prove.
    pub(crate) fn own_uid(uid: u32) -> Self {
        Self::one(format!(
            "{}={uid} is the user that proxy-init itself runs as: run it as user 0",
            variable::PROXY_UID
        ))
    }

    /// The one mistake `text`.
    pub(crate) fn one(text: String) -> Self {
        Self(vec![text])
    }
}

struct Reader<F> {
    variable: F,
    mistakes: Vec<String>,
}

impl<F: Fn(&'static str) -> Option<OsString>> Reader<F> {
    fn port(&mut self, name: &'static str, default: u16) -> u16 {
        let value = (self.variable)(name).unwrap_or_default();
        if is_service_link(&value.to_string_lossy()) {
            return default;
        }
        self.read(name, default, "a port from 1 to 65535", |port| *port != 0)
    }

    /// The variable's value, or `default` after a mistake was noted.
    fn read<T: FromStr + Display>(
        &mut self,
        name: &'static str,
        default: T,
        wanted: &str,
        valid: impl Fn(&T) -> bool,
    ) -> T {
        let raw = (self.variable)(name).unwrap_or_default();
        let text = raw.to_string_lossy();
        let text = text.trim();
        if text.is_empty() {
            return default;
        }
        if let Some(value) = text.parse().ok().filter(valid) {
            return value;
        }
        self.mistakes.push(format!(
            "{name}={} is not {wanted}; without the variable it is {default}",
            quoted(&raw)
        ));
        default
    }
}

fn quoted(raw: &OsStr) -> String {
    format!("{raw:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
        Config::from_environment(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
    }

    #[test]
    fn without_variables_it_is_the_peers_defaults() {
        let expected = Config {
            metadata: "169.254.169.254:80".parse().unwrap(),
            proxy_port: 8000,
            proxy_uid: 1501,
            relays: true,
        };
        assert_eq!(config(&[]), Ok(expected));
        assert_eq!(
            config(&[("PROXY_PORT", ""), ("PROXY_UID", " ")]),
            Ok(expected),
            "an empty variable is an absent one, as in the peer's script"
        );
    }

    #[test]
    fn every_variable_counts() {
        assert_eq!(
            config(&[
                ("METADATA_IP", "192.0.2.7"),
                ("METADATA_PORT", "8080"),
                ("PROXY_PORT", " 9000\n"),
                ("PROXY_UID", "65532"),
                ("AZWI_RELAY", "deny"),
            ]),
            Ok(Config {
                metadata: "192.0.2.7:8080".parse().unwrap(),
                proxy_port: 9000,
                proxy_uid: 65532,
                relays: false,
            })
        );
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mistakes = config(&[
            ("METADATA_IP", "::1"),
            ("METADATA_PORT", "0"),
            ("PROXY_PORT", "70000"),
            ("PROXY_UID", "-1"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "METADATA_IP=\"::1\"",
            "METADATA_PORT=\"0\"",
            "PROXY_PORT=\"70000\"",
            "PROXY_UID=\"-1\"",
        ] {
            assert!(mistakes.contains(part), "{part} in {mistakes}");
        }
    }

    #[test]
    fn services_called_like_our_variables_do_no_harm() {
        for link in [
            "tcp://10.0.0.5:80",
            "udp://10.0.0.5:80",
            "sctp://[fd00::5]:80",
        ] {
            for name in ["METADATA_PORT", "PROXY_PORT"] {
                assert_eq!(config(&[(name, link)]), config(&[]), "{name}={link}");
            }
        }
        assert!(config(&[("PROXY_UID", "tcp://10.0.0.5:80")]).is_err());
    }

    #[test]
    fn values_that_would_open_a_hole_are_refused() {
        for (name, value) in [
            ("PROXY_UID", "0"),
            ("PROXY_UID", "4294967295"),
            ("METADATA_IP", "0.0.0.0"),
            ("METADATA_IP", "127.0.0.1"),
            ("METADATA_IP", "224.0.0.1"),
            ("METADATA_IP", "255.255.255.255"),
            ("METADATA_IP", "169.254.169.254/32"),
        ] {
            let mistakes = config(&[(name, value)]).unwrap_err().to_string();
            assert!(mistakes.contains(name), "{name}={value}: {mistakes}");
        }
    }

    proptest! {
        #[test]
        fn any_value_gives_itself_or_one_mistake(value in "\\PC*") {
            for name in ["METADATA_IP", "METADATA_PORT", "PROXY_PORT", "PROXY_UID"] {
                if let Err(Mistakes(mistakes)) = config(&[(name, &value)]) {
                    prop_assert_eq!(mistakes.len(), 1);
                }
            }
        }
    }
}
