//! The proxy's reaction to SIGTERM.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::linger_seconds::LingerSeconds;

/// The proxy's reaction to the first SIGTERM. A second signal always ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Keep serving until no request has come for some seconds, since the application may need tokens while it
    /// stops.
    Linger(LingerSeconds),
    /// End. The kubelet stops a native sidecar after the application.
    Now,
}

/// The text is not a way to shut down.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a way to shut down: use now, linger, or the seconds without a request to wait for, 1 to {max}",
    max = LingerSeconds::MAX
)]
pub struct ShutdownError(String);

impl Default for Shutdown {
    /// The meaning of the word `linger`.
    fn default() -> Self {
        Self::Linger(LingerSeconds::DEFAULT)
    }
}

impl FromStr for Shutdown {
    type Err = ShutdownError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "linger" => Ok(Self::default()),
            "now" => Ok(Self::Now),
            seconds => match seconds.parse() {
                Ok(seconds) => Ok(Self::Linger(seconds)),
                Err(_) => Err(ShutdownError(seconds.to_owned())),
            },
        }
    }
}

/// The value of `AZWI_SHUTDOWN`.
impl fmt::Display for Shutdown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => formatter.write_str("now"),
            Self::Linger(seconds) => seconds.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_and_seconds() {
        assert_eq!("now".parse(), Ok(Shutdown::Now));
        assert_eq!(" linger ".parse(), Ok(Shutdown::default()));
        let day = "86400".parse::<LingerSeconds>().unwrap();
        assert_eq!(" 86400".parse(), Ok(Shutdown::Linger(day)));
        for text in ["0", "86401", "-1", "+5", "5s", "", "never"] {
            let error = text.parse::<Shutdown>().unwrap_err();
            assert!(error.to_string().contains("1 to 86400"), "{error}");
        }
    }
}
