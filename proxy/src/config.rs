//! The settings of the proxy, checked. [`crate::cli`] reads them; each component owns its part.

use contract::log::{LogFormat, LogLevel};
pub use contract::value::Shutdown;

use crate::{api, entra, relay};

/// The settings of the proxy.
#[derive(Debug)]
pub struct Config {
    /// Which endpoints there are, and the pod's identities.
    pub api: api::Config,
    /// The exchange with Entra.
    pub entra: entra::Config,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The least important log lines that are written.
    pub log_level: LogLevel,
    /// The port for `/metrics`, on all addresses; without it there are no metrics.
    pub metrics_port: Option<u16>,
    /// The port to listen on, on 127.0.0.1; 0 for any.
    pub port: u16,
    /// What is relayed, and to which address.
    pub relay: relay::Config,
    /// What SIGTERM does.
    pub shutdown: Shutdown,
}
