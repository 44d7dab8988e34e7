//! `on` or `off`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// `on` or `off`, as in `AZWI_IMDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toggle {
    /// `off`
    Off,
    /// `on`
    On,
}

/// The text is neither `on` nor `off`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("it must be on or off")]
pub struct ToggleError;

impl Toggle {
    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

impl FromStr for Toggle {
    type Err = ToggleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            _ => Err(ToggleError),
        }
    }
}

impl fmt::Display for Toggle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
