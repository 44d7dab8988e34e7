//! Log levels and formats: the same words in every binary. The webhook passes the level on to the proxy.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The values of `--log-level`: empty, `error`, `warn`, `info`, `debug`, `trace` or `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Only failures.
    Error,
    /// Also conditions that an operator should look at.
    Warn,
    /// Also starts, stops and exchanges with Entra; the default, and what an empty value means.
    #[default]
    Info,
    /// Also requests that are answered from memory.
    Debug,
    /// Also log lines of libraries; `all` is its other name.
    Trace,
}

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "info" => Ok(Self::Info),
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "debug" => Ok(Self::Debug),
            "trace" | "all" => Ok(Self::Trace),
            _ => Err(LogLevelError(text.to_owned())),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// A log level that does not exist.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a log level: use error, warn, info, debug, trace or all")]
pub struct LogLevelError(String);

/// The values of `--log-format`: `text` or `json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line; the default.
    #[default]
    Json,
    /// One line of text.
    Text,
}

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(LogFormatError(text.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// A log format that does not exist.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a log format: use text or json")]
pub struct LogFormatError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_levels_of_upstream() {
        for (text, level) in [
            ("", LogLevel::Info),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
            ("all", LogLevel::Trace),
        ] {
            assert_eq!(text.parse(), Ok(level), "{text:?}");
        }
    }

    #[test]
    fn names_an_unknown_level() {
        let error = "loud".parse::<LogLevel>().unwrap_err().to_string();
        assert!(error.contains("\"loud\""), "{error}");
        assert!(error.contains("debug"), "{error}");
    }
}
