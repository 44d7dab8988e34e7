//! The projected service account token, which Entra takes as a client assertion.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use thiserror::Error;

use crate::file;

/// A service account token. Secret.
pub struct Assertion(String);

/// The claims of a service account token that a federated credential has to match.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Presented {
    /// `iss`.
    #[serde(default, rename = "iss")]
    pub issuer: String,
    /// `sub`.
    #[serde(default, rename = "sub")]
    pub subject: String,
    #[serde(default, rename = "aud")]
    audience: Audience,
}

/// Why there is no token to present.
#[derive(Debug, Error)]
pub enum AssertionError {
    /// The file cannot be read.
    #[error(
        "the service account token {path} cannot be read ({source}): is the pod labelled \
         azure.workload.identity/use: \"true\", and was it made after the webhook ran?"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file holds no JSON Web Token.
    #[error("the service account token {path} is not a JSON Web Token")]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

impl Assertion {
    /// Reads the token. It is read for each exchange, because kubelet replaces the file at any time.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no regular file, is too large, or holds no JSON Web Token.
    pub fn read(path: &Path) -> Result<Self, AssertionError> {
        let bytes = file::read(path, MAX_TOKEN).map_err(|source| AssertionError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let text = std::str::from_utf8(&bytes).ok();
        let assertion = text.and_then(Self::parse);
        assertion.ok_or_else(|| AssertionError::NoToken {
            path: path.to_owned(),
        })
    }

    /// The trimmed text of a file, if it has the three parts of a JSON Web Token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let token = text.trim();
        (token.split('.').count() == 3).then(|| Self(token.to_owned()))
    }

    /// The token itself, to be sent to Entra and nowhere else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The claims that Entra compares, or empty ones where they cannot be read.
    #[must_use]
    pub fn presented(&self) -> Presented {
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
    #[must_use]
    pub fn audience(&self) -> String {
        match &self.audience {
            Audience::One(audience) => audience.clone(),
            Audience::Several(audiences) => audiences.join(","),
        }
    }
}

/// `aud`: one text or a list (RFC 7519, 4.1.3).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Audience {
    /// One audience.
    One(String),
    /// A list of audiences.
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// In bytes. The API server's tokens have some 1 to 2 KB.
const MAX_TOKEN: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn assertion(payload: &str) -> Assertion {
        Assertion(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn reads_the_claims_that_entra_compares() {
        let payload =
            r#"{"iss":"https://issuer/","sub":"system:serviceaccount:a:b","aud":["x"],"exp":1}"#;
        let presented = assertion(payload).presented();
        assert_eq!(presented.issuer, "https://issuer/");
        assert_eq!(presented.subject, "system:serviceaccount:a:b");
        assert_eq!(presented.audience(), "x");
        assert_eq!(assertion(r#"{"aud":"y"}"#).presented().audience(), "y");
    }

    #[test]
    fn a_malformed_token_presents_nothing() {
        assert_eq!(assertion("[]").presented(), Presented::default());
        assert_eq!(
            Assertion("a.!.c".to_owned()).presented(),
            Presented::default()
        );
    }

    #[test]
    fn law_8_debug_does_not_show_the_token() {
        assert_eq!(
            format!("{:?}", Assertion("secret".to_owned())),
            "Assertion(REDACTED)"
        );
    }
}
