//! Everything that the services and the control API share.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use crate::jwt::{JwtError, SigningKey};
use crate::keys::Keys;
use crate::log::Log;
use crate::model::Socket;
use crate::registry::Registry;
use crate::rule::Rules;
use crate::socket::Switch;

/// Entra's key. One for the whole process: making it takes long, and nothing tells two apart.
static SIGNING_KEY: LazyLock<Result<Arc<SigningKey>, String>> = LazyLock::new(|| {
    SigningKey::generate()
        .map(Arc::new)
        .map_err(|error| error.to_string())
});

/// What is registered, what is to go wrong and what has happened.
pub(crate) struct State {
    pub(crate) registry: Mutex<Registry>,
    pub(crate) rules: Mutex<Rules>,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
    pub(crate) signing_key: Arc<SigningKey>,
    pub(crate) sockets: BTreeMap<Socket, Switch>,
    pub(crate) ca_pem: String,
}

impl State {
    pub(crate) fn new(ca_pem: String, sockets: BTreeMap<Socket, Switch>) -> Result<Self, JwtError> {
        let signing_key = SIGNING_KEY.clone().map_err(JwtError::Generate)?;
        Ok(Self {
            registry: Mutex::default(),
            rules: Mutex::default(),
            keys: Keys::default(),
            log: Log::new(),
            signing_key,
            sockets,
            ca_pem,
        })
    }
}
