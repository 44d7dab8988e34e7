//! Values of flags that no other program reads.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;

use contract::value::ServerName;
use service_kit::flags::go_bool;
use thiserror::Error;

use crate::certificate::tls::MinVersion;
use crate::version::NativeSidecar;

/// A boolean in the spelling of Go's `strconv.ParseBool`.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoBool(pub(super) bool);

/// An address to listen on in Go's form: `:PORT`, `ADDRESS:PORT` or `NAME:PORT`, such as `localhost:8095`.
#[derive(Clone, Debug)]
pub(super) struct ListenAddress(pub(super) String);

/// The address of `/metrics`; `0` turns metrics off, as in controller-runtime.
#[derive(Clone, Debug)]
pub(super) struct MetricsAddress(pub(super) Option<ListenAddress>);

/// The only metrics backend, `prometheus` in any case, as upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct MetricsBackend;

/// `imagePullPolicy` of a container.
#[derive(Clone, Debug)]
pub(super) struct PullPolicy(pub(super) String);

/// The most connections of API servers that are open at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxConnections(pub(super) NonZeroU32);

/// A value that its flag does not allow.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ValueError(&'static str);

impl FromStr for GoBool {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = go_bool(text).ok_or(ValueError("it must be true or false"))?;
        Ok(Self(value))
    }
}

impl FromStr for ListenAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_valid = match text.strip_prefix(':') {
            Some(port) => port.parse::<u16>().is_ok(),
            None => text.parse::<SocketAddr>().is_ok() || is_host_and_port(text),
        };
        if is_valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError("it must be :port or address:port"))
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        host.parse::<ServerName>().is_ok() && port.parse::<u16>().is_ok()
    })
}

impl FromStr for MetricsAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0" => Ok(Self(None)),
            address => address.parse().map(|address| Self(Some(address))),
        }
    }
}

impl FromStr for MetricsBackend {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("prometheus") {
            Ok(Self)
        } else {
            Err(ValueError("only prometheus is supported"))
        }
    }
}

impl FromStr for PullPolicy {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Always" | "IfNotPresent" | "Never" => Ok(Self(text.to_owned())),
            _ => Err(ValueError("it must be Always, IfNotPresent or Never")),
        }
    }
}

impl FromStr for MaxConnections {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().map(Self);
        number.map_err(|_| ValueError("it must be a number of at least 1"))
    }
}

impl FromStr for NativeSidecar {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" | "true" => Ok(Self::On),
            "off" | "false" => Ok(Self::Off),
            _ => Err(ValueError("it must be auto, on or off")),
        }
    }
}

impl FromStr for MinVersion {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(ValueError(
                "it must be 1.2 or 1.3: older versions are not safe",
            )),
        }
    }
}
