//! Emulators of the parts of Azure that the product uses: Entra's token endpoint, the IMDS of a node,
//! Key Vault, static websites of Azure Storage, and the token proxy of AKS identity bindings. They check what the
//! originals check and fail as the originals fail, so that a client that works with them works with Azure.
//!
//! [`Azure::start`] starts them in the process of a test, [`Control`] steers them there or in the
//! program `azure-emulator`.

mod certificate;
mod client;
mod clock;
mod control;
mod entra;
mod imds;
mod jwt;
mod key_vault;
mod keys;
mod log;
mod message;
mod model;
mod registry;
mod rule;
mod serve;
mod server;
mod socket;
mod state;
mod storage;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use client::{Control, ControlError, website_url};
pub use entra::{AUDIENCE, BINDING_AUDIENCE, TOKEN_PROXY_BASE};
pub use imds::{NODE_CLIENT_ID, NODE_NAME};
pub use jwt::{Jwt, JwtError, KeySet, PublicKey, SigningKey};
pub use model::{
    Application, Counters, FederatedCredential, Issuer, Kind, Record, Resource, Service, Socket,
    Tenant, Vault,
};
pub use rule::{ConnectionFault, Respond, Rule, RuleState, TokenChange};
pub use server::{Azure, Options, StartError};

/// Locks. A panic elsewhere while locked leaves the values consistent, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
