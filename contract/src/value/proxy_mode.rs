//! How applications reach the proxy.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How applications reach the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyMode {
    /// Through variables that SDKs read: no init container and no capability.
    Environment,
    /// At the address of IMDS, which `azwi-proxy-init` redirects.
    #[default]
    Redirect,
}

/// The text is not a mode.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("it must be redirect or environment")]
pub struct ProxyModeError;

impl FromStr for ProxyMode {
    type Err = ProxyModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "environment" => Ok(Self::Environment),
            "redirect" => Ok(Self::Redirect),
            _ => Err(ProxyModeError),
        }
    }
}

impl fmt::Display for ProxyMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Environment => "environment",
            Self::Redirect => "redirect",
        })
    }
}
