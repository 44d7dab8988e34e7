//! Everything that the services and the control API share.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::jwt::{JwtError, SigningKey};
use crate::keys::Keys;
use crate::log::Log;
use crate::model::Socket;
use crate::registry::Registry;
use crate::rule::Rules;
use crate::socket::Switch;

/// The registered objects, the rules, and the log.
pub(crate) struct State {
    pub(crate) registry: Mutex<Registry>,
    pub(crate) rules: Mutex<Rules>,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
    pub(crate) sockets: BTreeMap<Socket, Switch>,
    pub(crate) ca_pem: String,
}

impl State {
    pub(crate) fn new(ca_pem: String, sockets: BTreeMap<Socket, Switch>) -> Self {
        Self {
            registry: Mutex::default(),
            rules: Mutex::default(),
            keys: Keys::default(),
            log: Log::new(),
            sockets,
            ca_pem,
        }
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
