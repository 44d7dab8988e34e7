//! Identity bindings: the name in the token proxy's certificate.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::host::is_dns_name;

/// A DNS name in lower case (`AZURE_KUBERNETES_SNI_NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName(String);

/// The text is not a DNS name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a DNS name")]
pub struct ServerNameError(String);

impl ServerName {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_lowercase();
        if is_dns_name(&name) {
            Ok(Self(name))
        } else {
            Err(ServerNameError(text.trim().to_owned()))
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_no_addresses() {
        let name: ServerName = "Abc.SNI.aks".parse().unwrap();
        assert_eq!(name.as_str(), "abc.sni.aks");
        for text in ["", "10.0.0.1", "a b", "[::1]", "UPPER/x", "a:443"] {
            assert!(text.parse::<ServerName>().is_err(), "{text:?}");
        }
    }
}
