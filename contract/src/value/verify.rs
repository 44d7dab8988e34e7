//! Whether the application starts without a proof that its identity works.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What a failed check of the identity means for the application's start. The proxy checks it by
/// exchanging a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The application does not start.
    Enforce,
    /// The application starts, and the proxy reports the failure.
    Warn,
}

/// The text is neither `enforce` nor `warn`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("it must be warn or enforce")]
pub struct VerifyError;

impl Verify {
    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
        }
    }
}

impl FromStr for Verify {
    type Err = VerifyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "enforce" => Ok(Self::Enforce),
            "warn" => Ok(Self::Warn),
            _ => Err(VerifyError),
        }
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
