//! The configuration: environment variables, which the webhook or a user sets.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use contract::service_link::is_service_link;
use contract::value::{RelayPolicy, ServicePort};
use contract::{container, metadata, variable};
use service_kit::settings::{ConfigurationError, Mistakes};

/// The configuration of the redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address and port of IMDS (`METADATA_IP`, `METADATA_PORT`).
    pub metadata: SocketAddrV4,
    /// The proxy's port on 127.0.0.1 (`PROXY_PORT`).
    pub proxy_port: u16,
    /// The proxy's user id (`PROXY_UID`).
    pub proxy_uid: u32,
    /// Whether the proxy relays to the real IMDS (`AZWI_RELAY` is not `deny`). Only then is its user
    /// exempt from the redirect.
    pub relays: bool,
}

impl Config {
    /// Reads environment variables through `variable`. An absent or empty variable has its default.
    ///
    /// # Errors
    ///
    /// All mistakes at once.
    pub fn from_environment(
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, ConfigurationError> {
        let mut reader = Reader {
            variable,
            mistakes: Mistakes::default(),
        };
        let address = reader.read(
            variable::METADATA_IP,
            metadata::ADDRESS,
            "the IPv4 address of another host",
            |address: &Ipv4Addr| {
                !(address.is_unspecified()
                    || address.is_loopback()
                    || address.is_multicast()
                    || address.is_broadcast())
            },
        );
        let port = reader.port(variable::METADATA_PORT, metadata::PORT);
        let config = Self {
            metadata: SocketAddrV4::new(address, port),
            proxy_port: reader.port(variable::PROXY_PORT, metadata::DEFAULT_PROXY_PORT),
            proxy_uid: reader.read(
                variable::PROXY_UID,
                container::PROXY_UID,
                "a user id from 1 to 4294967294 (0 would exempt every container that runs as root)",
                |uid: &u32| (1..u32::MAX).contains(uid),
            ),
            relays: reader.relays(),
        };
        reader.mistakes.finish(Some(config))
    }

    /// The address of the proxy.
    #[must_use]
    pub fn proxy(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.proxy_port)
    }
}

struct Reader<F> {
    variable: F,
    mistakes: Mistakes,
}

impl<F: Fn(&'static str) -> Option<OsString>> Reader<F> {
    fn port(&mut self, name: &'static str, default: u16) -> u16 {
        if is_service_link(&self.text(name)) {
            return default;
        }
        let Some(port) = self.value(
            name,
            default,
            "a port from 1 to 65535",
            |_: &ServicePort| true,
        ) else {
            return default;
        };
        port.get()
    }

    fn relays(&mut self) -> bool {
        let text = self.text(variable::RELAY);
        if text.is_empty() {
            return true;
        }
        let policy = text.parse::<RelayPolicy>();
        let policy = policy.map_err(|error| format!("{}: {error}", variable::RELAY));
        self.mistakes.keep(policy) != Some(RelayPolicy::Deny)
    }

    /// The variable's value. `default` if it has none, or after a mistake was added.
    fn read<T: FromStr + Display + Copy>(
        &mut self,
        name: &'static str,
        default: T,
        wanted: &str,
        is_valid: impl Fn(&T) -> bool,
    ) -> T {
        self.value(name, default, wanted, is_valid)
            .unwrap_or(default)
    }

    /// The variable's value. `None` if it has none, or after a mistake was added.
    fn value<T: FromStr>(
        &mut self,
        name: &'static str,
        default: impl Display,
        wanted: &str,
        is_valid: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        let value = text.parse().ok().filter(is_valid);
        if value.is_none() {
            self.mistakes.add(format!(
                "{name}={text:?} is not {wanted}; without the variable it is {default}"
            ));
        }
        value
    }

    fn text(&self, name: &'static str) -> String {
        let value = (self.variable)(name).unwrap_or_default();
        value.to_string_lossy().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigurationError> {
        Config::from_environment(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
    }

    #[test]
    fn has_the_defaults_of_upstream() {
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
            "an empty variable is an absent one, as in upstream's script"
        );
    }

    #[test]
    fn reads_every_variable() {
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
    fn reports_all_mistakes_at_once() {
        let mistakes = config(&[
            ("METADATA_IP", "::1"),
            ("METADATA_PORT", "0"),
            ("PROXY_PORT", "70000"),
            ("PROXY_UID", "-1"),
            ("AZWI_RELAY", "/a/%zz"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "METADATA_IP=\"::1\"",
            "METADATA_PORT=\"0\"",
            "PROXY_PORT=\"70000\"",
            "PROXY_UID=\"-1\"",
            "AZWI_RELAY: \"/a/%zz\" is not a relay policy",
        ] {
            assert!(mistakes.contains(part), "{part} in {mistakes}");
        }
    }

    #[test]
    fn ignores_the_addresses_of_services_in_variables_of_ports() {
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
    fn rejects_values_that_would_exempt_too_much() {
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
        fn any_value_is_read_or_is_one_mistake(value in "\\PC*") {
            for name in ["METADATA_IP", "METADATA_PORT", "PROXY_PORT", "PROXY_UID", "AZWI_RELAY"] {
                if let Err(error) = config(&[(name, &value)]) {
                    prop_assert_eq!(error.mistakes().len(), 1);
                }
            }
        }
    }
}
