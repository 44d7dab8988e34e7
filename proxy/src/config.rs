//! The proxy's configuration: that of each component, and of the process.

use contract::log::{LogFormat, LogLevel};
pub use contract::value::Shutdown;

use crate::{api, entra, relay};

/// The proxy's configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The API: what is answered.
    pub api: api::Config,
    /// The client of Entra: where tokens come from.
    pub entra: entra::Config,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: LogLevel,
    /// The port for `/metrics`, on all addresses; none without.
    pub metrics_port: Option<u16>,
    /// The port for applications, on 127.0.0.1; 0 for any.
    pub port: u16,
    /// The relay to IMDS.
    pub relay: relay::Config,
    /// What SIGTERM does.
    pub shutdown: Shutdown,
}
