//! The issuer of tokens: its documents (OpenID Connect Discovery 1.0), and where they are.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::key_set::KeySet;

/// An issuer. `None` is what was not needed or could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Issuer {
    /// Its URL, as it is in tokens.
    pub url: String,
    /// The API server's discovery document.
    pub discovery: Option<Discovery>,
    /// The API server's key set.
    pub keys: Option<KeySet>,
    /// Its documents as the internet has them.
    pub published: Option<Published>,
}

/// The documents that an issuer serves to the internet.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// Both.
    Documents {
        /// The discovery document.
        discovery: Discovery,
        /// The key set.
        keys: KeySet,
    },
    /// The issuer answers with something else.
    Missing {
        /// The URL of the document.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// The discovery document.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Discovery {
    /// The issuer, as it is in tokens.
    pub issuer: String,
    /// The URL of the key set.
    pub jwks_uri: String,
    /// Other fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Discovery {
    /// The document of an issuer that publishes its keys beside it, as kube-apiserver writes it.
    #[must_use]
    pub fn of(issuer: &str) -> Self {
        let other = [
            ("response_types_supported", "id_token"),
            ("subject_types_supported", "public"),
            ("id_token_signing_alg_values_supported", "RS256"),
        ];
        let other = other.map(|(name, value)| (name.to_owned(), Value::from(vec![value])));
        Self {
            issuer: issuer.to_owned(),
            jwks_uri: url(issuer, KEYS_PATH),
            other: other.into_iter().collect(),
        }
    }
}

/// The URL of a document of an issuer, which may end with a slash.
#[must_use]
pub fn url(issuer: &str, path: &str) -> String {
    format!("{}/{path}", issuer.trim_end_matches('/'))
}

/// Whether the internet may reach a URL: it is https, and its host is neither an address nor a name of a cluster
/// or a private network.
#[must_use]
pub fn is_public(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let is_name = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
    let private = [".svc", ".local", ".internal", ".localhost"];
    is_name && !private.iter().any(|it| host.ends_with(it))
}

/// The discovery document, below the issuer.
pub const DISCOVERY_PATH: &str = ".well-known/openid-configuration";
/// The key set, below the issuer, where kube-apiserver has it.
pub const KEYS_PATH: &str = "openid/v1/jwks";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slash_of_an_issuer_stays_in_it_and_is_not_doubled_in_urls() {
        let discovery = Discovery::of("https://issuer.example.com/cluster/");
        assert_eq!(discovery.issuer, "https://issuer.example.com/cluster/");
        assert_eq!(
            discovery.jwks_uri,
            "https://issuer.example.com/cluster/openid/v1/jwks"
        );
    }

    #[test]
    fn knows_what_the_internet_cannot_reach() {
        assert!(is_public("https://issuer.example.com:8443/cluster"));
        for private in [
            "http://issuer.example.com/",
            "https://kubernetes.default.svc",
            "https://kubernetes.default.svc.cluster.local/",
            "https://10.0.0.1:6443/openid/v1/jwks",
            "https://localhost/",
        ] {
            assert!(!is_public(private), "{private}");
        }
    }
}
