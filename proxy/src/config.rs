//! The proxy's configuration: that of each component, and of the process.

use contract::log::{LogFormat, LogLevel};
pub use contract::value::Shutdown;

use crate::{api, entra, relay, startup};

/// The proxy's configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The API: identities and endpoints.
    pub api: api::Config,
    /// The client of Entra, the source of tokens.
    pub entra: entra::Config,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The least important level that is logged.
    pub log_level: LogLevel,
    /// The port for `/metrics`, on all addresses; `None` for no metrics.
    pub metrics_port: Option<u16>,
    /// The port for applications, on 127.0.0.1; 0 for any.
    pub port: u16,
    /// The relay to IMDS.
    pub relay: relay::Config,
    /// The reaction to SIGTERM.
    pub shutdown: Shutdown,
    /// What to do before the application starts.
    pub startup: startup::Config,
}
