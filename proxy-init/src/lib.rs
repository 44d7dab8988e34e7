//! Redirects a pod's connections to the Azure Instance Metadata Service (IMDS) to the proxy, and
//! does not end well before it has seen that they arrive there.
//!
//! A pod in which this failed must not start: its token requests would go to the node's identity.
//! So every doubt is a failure, and every failure has its own exit code ([`failure::TABLE`]).
//!
//! The rules are in [`netlink::nftables`] and the proof is in [`proof`]; these, [`config`], [`netlink::wire`] and
//! [`socket_table`] hold the decisions, [`netlink`], [`route`] and [`iptables`] talk to the kernel.

pub mod capability;
pub mod command;
pub mod config;
pub mod failure;
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

pub use crate::failure::Failure;

/// A redirect that was set up and proved.
#[derive(Debug)]
pub struct Done {
    /// What was redirected, where to.
    pub config: Config,
    /// Whose rules redirect.
    pub firewall: Firewall,
    /// How the pod reaches the address.
    pub route: Route,
    /// What the proof saw.
    pub proof: Proof,
    /// How long all of it took.
    pub took: Duration,
}

/// Sets up the redirect in this network namespace, in place of an earlier one of ours, and proves
/// it.
///
/// # Errors
/// Anything that leaves a doubt whether connections to IMDS go to the proxy.
pub fn redirect(config: &Config) -> Result<Done, Failure> {
    let start = Instant::now();
    if nix::unistd::geteuid().as_raw() == config.proxy_uid {
        return Err(Failure::Configuration(own_uid(config.proxy_uid)));
    }
    let firewall = firewall::write(config)?;
    let route = route::ensure(config.metadata)?;
    let proof = proof::prove(config).map_err(|error| Failure::unproved(config, error))?;
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
