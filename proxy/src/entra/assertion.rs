//! The projected service account token, which Entra takes as a client assertion.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use thiserror::Error;

/// A service account token. Secret.
pub(super) struct Assertion(String);

/// What a service account token says of itself, which a federated credential has to match.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Presented {
    #[serde(default, rename = "iss")]
    pub(super) issuer: String,
    #[serde(default, rename = "sub")]
    pub(super) subject: String,
    #[serde(default, rename = "aud")]
    audience: Audience,
}

/// Why there is no token to present.
#[derive(Debug, Error)]
pub(super) enum AssertionError {
    #[error(
        "the service account token {path} cannot be read ({source}): is the pod labelled \
         azure.workload.identity/use: \"true\", and was it made after the webhook ran?"
    )]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the service account token {path} is not a JSON Web Token")]
    NoToken { path: PathBuf },
}

impl Assertion {
    /// Reads the token. It is read for each exchange: kubelet replaces it at any time.
    pub(super) fn read(path: &Path) -> Result<Self, AssertionError> {
        let text = std::fs::read_to_string(path).map_err(|source| AssertionError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let token = text.trim();
        if token.split('.').count() != 3 {
            return Err(AssertionError::NoToken {
                path: path.to_owned(),
            });
        }
        Ok(Self(token.to_owned()))
    }

    /// The token itself, to be sent to Entra and nowhere else.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// The claims that Entra compares, or nothing where they cannot be read.
    pub(super) fn presented(&self) -> Presented {
        let payload = self.0.split('.').nth(1).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('='));
        payload
            .ok()
            .and_then(|payload| serde_json::from_slice(&payload).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Assertion(REDACTED)")
    }
}

impl Presented {
    /// The audience; several are joined by a comma.
    pub(super) fn audience(&self) -> String {
        match &self.audience {
            Audience::One(audience) => audience.clone(),
            Audience::Several(audiences) => audiences.join(","),
        }
    }
}

/// `aud` is one text or a list (RFC 7519, 4.1.3).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assertion(payload: &str) -> Assertion {
        Assertion(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn the_claims_that_entra_compares_are_read() {
        let payload =
            r#"{"iss":"https://issuer/","sub":"system:serviceaccount:a:b","aud":["x"],"exp":1}"#;
        let presented = assertion(payload).presented();
        assert_eq!(presented.issuer, "https://issuer/");
        assert_eq!(presented.subject, "system:serviceaccount:a:b");
        assert_eq!(presented.audience(), "x");
        assert_eq!(assertion(r#"{"aud":"y"}"#).presented().audience(), "y");
    }

    #[test]
    fn odd_tokens_present_nothing() {
        assert_eq!(assertion("[]").presented(), Presented::default());
        assert_eq!(
            Assertion("a.!.c".to_owned()).presented(),
            Presented::default()
        );
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", Assertion("secret".to_owned())),
            "Assertion(REDACTED)"
        );
    }
}
