//! A service account's token, without the token itself, and the documents of its issuer.

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
    /// The issuer's documents as the world sees them, `None` when that is not known.
    pub published: Option<Published>,
}

/// The issuer's documents, read from the issuer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The issuer answers, but not with its documents.
    Missing {
        /// The URL of the document.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Its documents.
    Documents {
        /// `issuer` of the discovery document.
        issuer: String,
        /// The URL of the key set.
        keys_url: String,
        /// The keys.
        keys: Vec<Key>,
    },
}

/// A key of a key set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// `kid`.
    pub id: String,
    /// `kty`.
    pub kind: String,
    /// `alg`, `None` when it is absent.
    pub algorithm: Option<String>,
    /// `use`, `None` when it is absent.
    pub usage: Option<String>,
}

impl Token {
    /// The audience, as one text.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.audiences.first().map_or("", String::as_str)
    }

    /// Whether only the cluster or its network knows the issuer, so that Entra cannot read its documents.
    #[must_use]
    pub fn has_private_issuer(&self) -> bool {
        let Some(rest) = self.issuer.strip_prefix("https://") else {
            return true;
        };
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        let is_name = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
        let suffixes = [".svc", ".local", ".internal", ".localhost"];
        !is_name || suffixes.iter().any(|it| host.ends_with(it))
    }
}
