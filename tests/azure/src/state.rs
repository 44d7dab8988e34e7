//! Everything that the services and the control API share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::jwt::{JwtError, SigningKey};
use crate::keys::{Keys, Source};
use crate::lock;
use crate::log::Log;
use crate::model::Socket;
use crate::registry::Registry;
use crate::rule::Rules;
use crate::socket::Switch;
use crate::storage::{Websites, website_host};

/// The registered objects, the rules, and the log.
pub(crate) struct State {
    pub(crate) registry: Mutex<Registry>,
    pub(crate) websites: Mutex<Websites>,
    pub(crate) rules: Mutex<Rules>,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
    pub(crate) sockets: BTreeMap<Socket, Switch>,
    pub(crate) ca_pem: String,
    /// Where this Azure listens, for its own requests to static websites.
    pub(crate) address: SocketAddr,
}

impl State {
    pub(crate) fn new(
        ca_pem: String,
        address: SocketAddr,
        sockets: BTreeMap<Socket, Switch>,
    ) -> Self {
        Self {
            registry: Mutex::default(),
            websites: Mutex::default(),
            rules: Mutex::default(),
            keys: Keys::default(),
            log: Log::new(),
            sockets,
            ca_pem,
            address,
        }
    }

    /// Where the keys of an issuer are: as registered, or at a static website. `None` when it cannot be reached.
    pub(crate) fn keys_of(&self, issuer: &str) -> Option<Source> {
        if let Some(registered) = lock(&self.registry).issuer(issuer) {
            return Some(Source::Registered(registered.clone()));
        }
        website_host(issuer).map(|_| Source::Website {
            issuer: issuer.to_owned(),
            address: self.address,
            ca_pem: self.ca_pem.clone(),
        })
    }
}

/// Entra's key. The whole process shares one, since making one takes seconds.
pub(crate) async fn signing_key() -> Result<&'static SigningKey, JwtError> {
    static KEY: OnceCell<SigningKey> = OnceCell::const_new();
    let make = || async {
        spawn_blocking(SigningKey::generate)
            .await
            .map_err(|error| JwtError::Generate(error.to_string()))?
    };
    KEY.get_or_try_init(make).await
}
