//! How long a plain sidecar serves after its pod began to end.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Seconds without a request after which a plain sidecar of a pod that ends, ends too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LingerSeconds(u32);

/// The text is not a number of seconds, or out of range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("it must be a number of seconds from 1 to {max}", max = LingerSeconds::MAX)]
pub struct LingerSecondsError;

impl LingerSeconds {
    /// The proxy's own default.
    pub const DEFAULT: Self = Self(5);

    /// A day.
    pub const MAX: u32 = 86_400;

    /// The number of seconds, 1 to [`LingerSeconds::MAX`].
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for LingerSeconds {
    type Err = LingerSecondsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        // A sign is no digit.
        let is_number = text.bytes().all(|it| it.is_ascii_digit());
        let seconds = text.parse().ok().filter(|_| is_number);
        match seconds {
            Some(seconds @ 1..=Self::MAX) => Ok(Self(seconds)),
            _ => Err(LingerSecondsError),
        }
    }
}

impl fmt::Display for LingerSeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_number_from_one_second_to_a_day() {
        for (text, seconds) in [("1", 1), (" 60 ", 60), ("86400", 86_400)] {
            assert_eq!(text.parse(), Ok(LingerSeconds(seconds)), "{text}");
        }
        for text in ["", "0", "86401", "-1", "+5", "5s", "now", "linger"] {
            assert_eq!(
                text.parse::<LingerSeconds>(),
                Err(LingerSecondsError),
                "{text}"
            );
        }
    }
}
