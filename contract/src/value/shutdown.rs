//! The proxy's reaction to SIGTERM.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The proxy's reaction to the first SIGTERM. A second signal always ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Keep serving until no request has come for some seconds, since the application may need tokens while it
    /// stops.
    Linger {
        /// Seconds without a request, 1 to [`Shutdown::MAX_LINGER_SECONDS`].
        seconds: u32,
    },
    /// End. The kubelet stops a native sidecar after the application.
    Now,
}

/// The text is not a way to shut down.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a way to shut down: use now, linger, or the seconds without a request to wait for, 1 to {max}",
    max = Shutdown::MAX_LINGER_SECONDS
)]
pub struct ShutdownError(String);

impl Shutdown {
    /// A day.
    pub const MAX_LINGER_SECONDS: u32 = 86_400;

    /// The meaning of the word `linger`.
    const LINGER: Self = Self::Linger { seconds: 5 };
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::LINGER
    }
}

impl FromStr for Shutdown {
    type Err = ShutdownError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text {
            "linger" => return Ok(Self::LINGER),
            "now" => return Ok(Self::Now),
            _ => {}
        }
        let is_number = text.bytes().all(|it| it.is_ascii_digit());
        let seconds = text.parse().ok().filter(|_| is_number);
        match seconds.filter(|seconds| (1..=Self::MAX_LINGER_SECONDS).contains(seconds)) {
            Some(seconds) => Ok(Self::Linger { seconds }),
            None => Err(ShutdownError(text.to_owned())),
        }
    }
}

/// The value of `AZWI_SHUTDOWN`.
impl fmt::Display for Shutdown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Now => formatter.write_str("now"),
            Self::LINGER => formatter.write_str("linger"),
            Self::Linger { seconds } => seconds.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_and_seconds() {
        let linger = |seconds| Ok(Shutdown::Linger { seconds });
        assert_eq!("now".parse(), Ok(Shutdown::Now));
        assert_eq!(" linger ".parse(), linger(5));
        assert_eq!("86400".parse(), linger(86_400));
        for text in ["0", "86401", "-1", "+5", "5s", "", "never"] {
            let error = text.parse::<Shutdown>().unwrap_err();
            assert!(error.to_string().contains("1 to 86400"), "{error}");
        }
    }
}
