//! Errors at the edge: the one place where refusals and failures get an HTTP status (IMDS R8).
//!
//! SDKs do not retry 400, and retry 429 and 503. With other 4xx and 5xx statuses, some of them no longer
//! use IMDS, or retry for minutes.

use http::StatusCode;

use super::refusal::Refusal;
use crate::relay::RelayError;
use crate::token::{ExchangeError, ExchangeErrorKind};

/// An error to answer with. `imds` and `app_service` write it in their own formats.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error code.
    pub code: String,
    /// The sentence for people.
    pub description: String,
    /// Seconds for the header `Retry-After`.
    pub retry_after: Option<u64>,
}

impl From<&Refusal> for ApiError {
    fn from(refusal: &Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Method | Refusal::QuitMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
            }
            Refusal::NodeIdentity | Refusal::NoImds | Refusal::NotOwnPath => {
                (StatusCode::NOT_FOUND, "not_found")
            }
            Refusal::NotRelayed => (StatusCode::FORBIDDEN, "forbidden"),
            Refusal::ResourceNotText | Refusal::ResourceTooLong => {
                (StatusCode::BAD_REQUEST, "invalid_resource")
            }
            Refusal::Secret => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Refusal::TooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "invalid_request",
            ),
            _ => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        Self {
            status,
            code: code.to_owned(),
            description: refusal.to_string(),
            retry_after: None,
        }
    }
}

impl From<ExchangeError> for ApiError {
    fn from(failure: ExchangeError) -> Self {
        let (status, retry_after) = match failure.kind {
            ExchangeErrorKind::Permanent => (StatusCode::BAD_REQUEST, None),
            ExchangeErrorKind::Throttled => (StatusCode::TOO_MANY_REQUESTS, failure.retry_after),
            ExchangeErrorKind::Transient => (StatusCode::SERVICE_UNAVAILABLE, failure.retry_after),
        };
        Self {
            status,
            code: failure.error,
            description: failure.description,
            retry_after: retry_after.map(|wait| wait.as_secs_f64().ceil() as u64),
        }
    }
}

impl From<RelayError> for ApiError {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::NotAllowed => Self::from(&Refusal::NotRelayed),
            RelayError::OtherIdentity => Self {
                status: StatusCode::NOT_FOUND,
                code: "not_found".to_owned(),
                description: error.to_string(),
                retry_after: None,
            },
            RelayError::SlowBody => Self {
                status: StatusCode::REQUEST_TIMEOUT,
                code: "invalid_request".to_owned(),
                description: error.to_string(),
                retry_after: None,
            },
            error => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "service_unavailable".to_owned(),
                description: error.to_string(),
                retry_after: None,
            },
        }
    }
}
