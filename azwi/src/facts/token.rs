//! A service account's token, without the token itself.

/// The claims of a token that the API server issued.
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
}

impl Token {
    /// The audience, as one text.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.audiences.first().map_or("", String::as_str)
    }
}
