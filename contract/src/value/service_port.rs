//! Ports of the proxy and of IMDS.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// A TCP port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePort(NonZeroU16);

/// The text is not a port.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a port is a number from 1 to 65535")]
pub struct ServicePortError;

impl ServicePort {
    /// The port's number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl FromStr for ServicePort {
    type Err = ServicePortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().parse().map(Self).map_err(|_| ServicePortError)
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_1_to_65535() {
        for text in ["1", " 8000\n", "65535"] {
            assert_eq!(
                text.parse::<ServicePort>().unwrap().to_string(),
                text.trim()
            );
        }
        for text in ["", "0", "65536", "-1", "8000/tcp", "tcp://10.0.0.5:80"] {
            assert!(text.parse::<ServicePort>().is_err(), "{text:?}");
        }
    }
}
