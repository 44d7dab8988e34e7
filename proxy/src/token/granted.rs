//! What an exchange brings: a token, or the reason why there is none.

use std::fmt;
use std::time::Duration;

/// A token as Entra granted it.
#[derive(Clone)]
pub struct Granted {
    /// The access token. Secret.
    pub access_token: String,
    /// How long it lives from now on.
    pub expires_in: Duration,
    /// How long it may be used in an outage, in Entra's opinion.
    pub ext_expires_in: Duration,
    /// When Entra advises to ask again.
    pub refresh_in: Option<Duration>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Granted")
            .field("access_token", &"REDACTED")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Why there is no token, in the words that the application gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// The error code, as Entra or IMDS names it.
    pub error: String,
    /// Entra's text, and what to do.
    pub description: String,
    /// How long Entra asks to be left alone, if it does.
    pub retry_after: Option<Duration>,
}

/// What a failure means for the next attempt (IMDS R8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It stays until somebody changes something.
    Permanent,
    /// Too many requests.
    Throttled,
    /// It may be gone in a moment.
    Transient,
}

impl Failure {
    /// A failure that may be gone in a moment, found here and not told by Entra.
    pub fn transient(description: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Transient,
            error: "service_unavailable".to_owned(),
            description: description.into(),
            retry_after: None,
        }
    }
}
