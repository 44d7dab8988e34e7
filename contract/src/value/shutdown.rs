//! The proxy's reaction to SIGTERM.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The proxy's reaction to the first SIGTERM. A second signal always ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shutdown {
    /// Keep serving, since the application may need tokens while it stops.
    #[default]
    Linger,
    /// End. The kubelet stops a native sidecar after the application.
    Now,
}

/// The text is not a way to shut down.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a way to shut down: use linger or now")]
pub struct ShutdownError(String);

impl Shutdown {
    /// The word in `AZWI_SHUTDOWN`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linger => "linger",
            Self::Now => "now",
        }
    }
}

impl FromStr for Shutdown {
    type Err = ShutdownError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "linger" => Ok(Self::Linger),
            "now" => Ok(Self::Now),
            text => Err(ShutdownError(text.to_owned())),
        }
    }
}

impl fmt::Display for Shutdown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
