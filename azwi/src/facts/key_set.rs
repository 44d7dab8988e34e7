//! JSON Web Key Sets (RFC 7517).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A set of keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct KeySet {
    /// The keys.
    pub keys: Vec<Key>,
}

/// A key, with the fields of RSA in the order in which kube-apiserver writes them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Key {
    /// `sig` for signatures.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// The kind, such as `RSA`.
    pub kty: String,
    /// The key id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The algorithm, such as `RS256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The modulus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// Other fields, such as those of other kinds.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl KeySet {
    /// The keys, each once.
    #[must_use]
    pub fn of<K: Into<Key>>(keys: impl IntoIterator<Item = K>) -> Self {
        let mut set = Self::default();
        for key in keys.into_iter().map(Into::into) {
            if !set.keys.contains(&key) {
                set.keys.push(key);
            }
        }
        set
    }

    /// The key with this id.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|it| it.id() == id)
    }

    /// The document, as `azwi jwks` of upstream writes it.
    ///
    /// # Errors
    ///
    /// Never in practice: every map key is a string.
    pub fn document(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl Key {
    /// The key id, empty without one.
    #[must_use]
    pub fn id(&self) -> &str {
        self.kid.as_deref().unwrap_or_default()
    }

    /// Whether it has a part that must stay secret (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1).
    #[must_use]
    pub fn is_secret(&self) -> bool {
        let secret = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        secret.iter().any(|it| self.other.contains_key(*it))
    }

    /// Whether Entra can verify tokens with it: RSA, for signatures, RS256, and a key id.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let has = |field: &Option<String>, value| field.as_deref().is_none_or(|it| it == value);
        self.kty == "RSA"
            && has(&self.usage, "sig")
            && has(&self.alg, "RS256")
            && !self.id().is_empty()
            && self.n.is_some()
            && self.e.is_some()
    }
}
