//! A service account's token, without the token itself.

/// The claims of a token that the API server issued, and the issuer's documents as the API server gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// `alg` of its header.
    pub algorithm: String,
    /// `kid` of its header.
    pub key_id: String,
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audiences: Vec<String>,
    /// `issuer` of the API server's discovery document, `None` when it could not be read.
    pub discovery_issuer: Option<String>,
    /// `kid` of every key in the API server's JWKS, `None` when it could not be read.
    pub key_ids: Option<Vec<String>>,
}
