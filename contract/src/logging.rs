//! Log levels and formats, the same in the webhook and the proxy.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What `--log-level` takes: empty, `error`, `warn`, `info`, `debug`, `trace` or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(LevelFilter);

impl Default for Level {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match text {
            "" | "info" => LevelFilter::INFO,
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "debug" => LevelFilter::DEBUG,
            "trace" | "all" => LevelFilter::TRACE,
            _ => {
                return Err(format!(
                    "{text:?} is no log level: use error, warn, info, debug, trace or all"
                ));
            }
        }))
    }
}

/// What `--log-format` takes: `text` or `json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(format!("{text:?} is no log format: use text or json")),
        }
    }
}

/// Starts logging to standard error. `own` is the binary's crate: below `trace` the libraries it
/// uses log warnings alone.
///
/// A second call has no effect.
pub fn start(level: Level, format: Format, own: &str) {
    let filter = if level.0 == LevelFilter::TRACE {
        Targets::new().with_default(level.0)
    } else {
        Targets::new()
            .with_default(level.0.min(LevelFilter::WARN))
            .with_target(own, level.0)
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(std::io::stderr);
    let layer = match format {
        Format::Json => layer.json().flatten_event(true).boxed(),
        Format::Text => layer.boxed(),
    };
    // Fails only when logging was started before.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_the_peer_are_known() {
        for (text, level) in [
            ("", LevelFilter::INFO),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
            ("all", LevelFilter::TRACE),
        ] {
            assert_eq!(text.parse(), Ok(Level(level)), "{text:?}");
        }
    }

    #[test]
    fn an_unknown_level_is_named() {
        let error = "loud".parse::<Level>().unwrap_err();
        assert!(error.contains("\"loud\""), "{error}");
        assert!(error.contains("debug"), "{error}");
    }
}
