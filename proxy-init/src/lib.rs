//! Redirects a pod's connections to the Azure Instance Metadata Service (IMDS) to the proxy, and
//! succeeds only after a connection has arrived there.
//!
//! If the redirect fails, the pod must not start: its token requests would reach the node's identity.
//! Every doubt is therefore an error, and every error has its own exit code ([`error::EXIT_CODES`]).
//!
//! The flow is [`redirect`]: [`firewall`] writes the rules, [`route`] ensures a route to IMDS, and
//! [`proof`] makes a connection. The rules themselves are plain bytes ([`netlink::nftables`]).
//!
//! "Upstream" in this crate is Azure/azure-workload-identity.

pub mod capability;
pub mod command;
pub mod config;
pub mod error;
pub mod firewall;
pub mod iptables;
pub mod netlink;
pub mod proof;
pub mod report;
pub mod route;
pub mod socket_table;

use std::time::{Duration, Instant};

use contract::variable;
use service_kit::settings::ConfigurationError;

use crate::config::Config;
use crate::firewall::Firewall;
use crate::proof::Proof;
use crate::route::Route;

pub use crate::error::RedirectError;

/// A redirect that was set up and proved.
#[derive(Debug)]
pub struct Done {
    /// The configuration of the redirect.
    pub config: Config,
    /// The firewall that holds the rules.
    pub firewall: Firewall,
    /// How the pod reaches the address.
    pub route: Route,
    /// How the redirect was proved.
    pub proof: Proof,
    /// The time from the start to the proof.
    pub took: Duration,
}

/// Sets up the redirect in this network namespace, instead of an earlier one of ours, and proves it.
///
/// # Errors
///
/// Anything that leaves a doubt whether connections to IMDS go to the proxy.
pub fn redirect(config: &Config) -> Result<Done, RedirectError> {
    let start = Instant::now();
    if nix::unistd::geteuid().as_raw() == config.proxy_uid {
        return Err(RedirectError::Configuration(own_uid(config.proxy_uid)));
    }
    let firewall = firewall::write(config)?;
    let route = route::ensure(config.metadata)?;
    let proof = proof::prove(config).map_err(|error| RedirectError::unproved(config, error))?;
    Ok(Done {
        config: *config,
        firewall,
        route,
        proof,
        took: start.elapsed(),
    })
}

/// The proof would be exempt from the redirect that it has to prove.
fn own_uid(uid: u32) -> ConfigurationError {
    ConfigurationError::new(format!(
        "{}={uid} is the user that proxy-init itself runs as: run it as user 0",
        variable::PROXY_UID
    ))
}
