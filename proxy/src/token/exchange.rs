//! The exchange that brings a token, or an error.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::value::{AccessToken, Key};

/// Gets tokens from the authority.
pub trait Exchange: Send + Sync + 'static {
    /// Gets one token, and ends by itself at `until`.
    ///
    /// # Errors
    ///
    /// The reason why there is no token.
    fn exchange(
        &self,
        key: &Key,
        until: Instant,
    ) -> impl Future<Output = Result<Granted, ExchangeError>> + Send;
}

/// A token as the authority granted it.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token.
    pub access_token: AccessToken,
    /// The token's lifetime from now on.
    pub expires_in: Duration,
    /// How long Entra lets the token be used in an outage.
    pub ext_expires_in: Duration,
    /// When Entra advises to replace the token.
    pub refresh_in: Option<Duration>,
}

/// Why there is no token. The application gets `error` and `description`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{error}: {description}")]
pub struct ExchangeError {
    /// What the error means for the next attempt.
    pub kind: ExchangeErrorKind,
    /// The OAuth error code, such as `invalid_client`.
    pub error: String,
    /// Entra's text, and how to fix the cause where that is known.
    pub description: String,
    /// The pause that Entra asks for.
    pub retry_after: Option<Duration>,
}

/// What an error means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeErrorKind {
    /// Every attempt fails until the configuration changes.
    Permanent,
    /// Entra limits the rate of requests.
    Throttled,
    /// The next attempt may succeed.
    Transient,
}

impl ExchangeError {
    /// A transient error that was found here, not reported by Entra.
    pub fn transient(description: impl Into<String>) -> Self {
        Self {
            kind: ExchangeErrorKind::Transient,
            error: "service_unavailable".to_owned(),
            description: description.into(),
            retry_after: None,
        }
    }

    /// An error because of everything else that waits for the authority.
    pub(super) fn crowded() -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::transient("too many requests wait for Entra already: try again in a second")
        }
    }
}

impl<E: Exchange> Exchange for Arc<E> {
    fn exchange(
        &self,
        key: &Key,
        until: Instant,
    ) -> impl Future<Output = Result<Granted, ExchangeError>> + Send {
        E::exchange(self, key, until)
    }
}

/// The longest time of an exchange: the wait for its turn, attempts and pauses together.
pub const BUDGET: Duration = Duration::from_secs(8);
