//! A token as a value: what it grants to whom, and how long.

use std::fmt;
use std::sync::Arc;

/// The identity and the resource that a token is for. The resource is kept as the client spelled it:
/// Entra's audience, and the keys of the clients' own caches, differ by a trailing slash.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Key {
    /// The identity's client id.
    pub client_id: Box<str>,
    /// The resource, percent-decoded.
    pub resource: Box<str>,
    /// The claims that the token is to have, in JSON. A token with other claims is another token.
    pub claims: Option<Box<str>>,
}

impl Key {
    /// The bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        let claims = self.claims.as_ref().map_or(0, |claims| claims.len());
        self.client_id.len() + self.resource.len() + claims
    }
}

/// An access token. Secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Arc<str>);

/// A token in memory as it is at one moment. All times are in seconds.
///
/// A token is replaced by another value when its numbers change, once a second at most. `V` is the
/// caller's slot, created empty with each value and dropped with it.
#[derive(Clone)]
pub struct Token<V> {
    /// Whose token it is, and for what.
    pub key: Arc<Key>,
    /// The secret.
    pub access_token: AccessToken,
    /// Seconds left of the token's life.
    pub expires_in: u64,
    /// The end of the token's life, since 1970.
    pub expires_on: u64,
    /// Seconds for which Entra lets the token be used in an outage.
    pub ext_expires_in: u64,
    /// The start of the token's life, since 1970.
    pub not_before: u64,
    /// The caller's slot.
    pub view: V,
}

impl AccessToken {
    /// The secret itself, to be written into an answer and nowhere else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the secret.
    pub(super) fn sha256(&self) -> impl AsRef<[u8]> {
        ring::digest::digest(&ring::digest::SHA256, self.0.as_bytes())
    }
}

/// Which token a request takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Any that is valid.
    #[default]
    Any,
    /// A new one, whatever is in memory.
    New,
    /// Another one than that with this SHA-256, which a service has refused.
    Other([u8; 32]),
}

impl From<String> for AccessToken {
    fn from(secret: String) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken(REDACTED)")
    }
}

impl<V> fmt::Debug for Token<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the view: it may hold the secret.
        formatter
            .debug_struct("Token")
            .field("key", &self.key)
            .field("expires_on", &self.expires_on)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_8_debug_does_not_show_the_secret() {
        let token = Token {
            key: Arc::new(Key {
                client_id: "c".into(),
                resource: "r".into(),
                claims: None,
            }),
            access_token: "secret".to_owned().into(),
            expires_in: 1,
            expires_on: 1,
            ext_expires_in: 1,
            not_before: 1,
            view: "a body with the secret",
        };
        let shown = format!("{token:?} {:?}", token.access_token);
        assert!(!shown.contains("secret"), "{shown}");
    }
}
