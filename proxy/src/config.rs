//! The sidecar's configuration, as the command line gives it to the components.

use std::net::SocketAddr;

use contract::log::{LogFormat, LogLevel};
pub use contract::value::Shutdown;

use crate::app_service::Secret;
use crate::entra::{Binding, Egress, Roots, Settings};
use crate::relay::Policy;
use crate::service::Identities;

/// The sidecar's configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The secret of App Service's endpoint; there is none without.
    pub app_service: Option<Secret>,
    /// Identity bindings, if they are used.
    pub binding: Option<Binding>,
    /// The egress proxy before Entra, if there is one.
    pub egress: Option<Egress>,
    /// The tenant, its authority and the token file.
    pub entra: Settings,
    /// Whose tokens are given.
    pub identities: Identities,
    /// The address of the real IMDS.
    pub imds: SocketAddr,
    /// Whether IMDS is answered for, and relayed to.
    pub imds_is_on: bool,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: LogLevel,
    /// The port for `/metrics`, on all addresses; none without.
    pub metrics_port: Option<u16>,
    /// The port to listen on, on 127.0.0.1; 0 for any.
    pub port: u16,
    /// Which paths are relayed to IMDS.
    pub relay: Policy,
    /// Whom Entra's certificate may come from.
    pub roots: Roots,
    /// What SIGTERM does.
    pub shutdown: Shutdown,
}
