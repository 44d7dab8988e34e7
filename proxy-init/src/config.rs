//! The configuration: environment variables, which the webhook or a user sets.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use contract::service_link::is_service_link;
use contract::value::{RelayKey, RelayPolicy, ServicePort};
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
    /// The connections to IMDS that are not redirected (`AZWI_RELAY`, `AZWI_RELAY_KEY`).
    pub exemption: Exemption,
}

/// The connections to IMDS that are not redirected, so that the proxy can relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// Those of the proxy's user that the proxy announces with this key.
    Announced(RelayKey),
    /// None: the proxy relays nothing (`AZWI_RELAY` is `deny`).
    Nothing,
    /// All of the proxy's user: there is no key, as in containers that are written by hand.
    User,
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
            exemption: reader.exemption(),
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

    fn exemption(&mut self) -> Exemption {
        let policy = self.known::<RelayPolicy>(variable::RELAY);
        match (policy, self.known::<RelayKey>(variable::RELAY_KEY)) {
            (Some(RelayPolicy::Deny), _) => Exemption::Nothing,
            (_, Some(key)) => Exemption::Announced(key),
            (_, None) => Exemption::User,
        }
    }

    /// A value whose error is the whole sentence. `None` if it is not set, or after a mistake was added.
    fn known<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        let value = text.parse::<T>();
        self.mistakes
            .keep(value.map_err(|error| format!("{name}: {error}")))
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
            exemption: Exemption::User,
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
                exemption: Exemption::Nothing,
            })
        );
    }

    #[test]
    fn exempts_announced_connections_if_it_has_a_key() {
        let exemption = |variables: &[(&str, &str)]| config(variables).unwrap().exemption;
        let key = ("AZWI_RELAY_KEY", "000102030405060708090a0b0c0d0e0f");
        let announced = Exemption::Announced(key.1.parse().unwrap());
        assert_eq!(exemption(&[key]), announced);
        assert_eq!(exemption(&[key, ("AZWI_RELAY", "/metadata")]), announced);
        assert_eq!(
            exemption(&[key, ("AZWI_RELAY", "deny")]),
            Exemption::Nothing
        );
        assert_eq!(exemption(&[("AZWI_RELAY_KEY", " ")]), Exemption::User);
    }

    #[test]
    fn reports_all_mistakes_at_once() {
        let mistakes = config(&[
            ("METADATA_IP", "::1"),
            ("METADATA_PORT", "0"),
            ("PROXY_PORT", "70000"),
            ("PROXY_UID", "-1"),
            ("AZWI_RELAY", "/a/%zz"),
            ("AZWI_RELAY_KEY", "secret"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "METADATA_IP=\"::1\"",
            "METADATA_PORT=\"0\"",
            "PROXY_PORT=\"70000\"",
            "PROXY_UID=\"-1\"",
            "AZWI_RELAY: \"/a/%zz\" is not a relay policy",
            "AZWI_RELAY_KEY: it must be 32 hexadecimal digits",
        ] {
            assert!(mistakes.contains(part), "{part} in {mistakes}");
        }
        assert!(!mistakes.contains("secret"), "{mistakes}");
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
            for name in [
                "METADATA_IP", "METADATA_PORT", "PROXY_PORT", "PROXY_UID", "AZWI_RELAY", "AZWI_RELAY_KEY",
            ] {
                if let Err(error) = config(&[(name, &value)]) {
                    prop_assert_eq!(error.mistakes().len(), 1);
                }
            }
        }
    }
}
