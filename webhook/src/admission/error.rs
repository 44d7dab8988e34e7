//! Refused HTTP requests, and the one place where they get a status.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use thiserror::Error;
use tracing::debug;

use super::body::BodyError;
use super::review::ReviewError;
use crate::memory::MadeWay;

/// Why a request gets an HTTP error instead of a review's answer.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The body was not read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Other reviews need the memory.
    #[error(transparent)]
    MadeWay(#[from] MadeWay),
    /// Another media type, or none.
    #[error("send an AdmissionReview as application/json")]
    MediaType,
    /// The kernel returns no random numbers.
    #[error("the system returns no random numbers")]
    NoRandomness,
    /// The body is no review.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// Never in practice: every answer can be written as JSON.
    #[error("the answer cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Body(BodyError::MadeWay(_)) | Self::MadeWay(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::Unreadable) | Self::Review(_) => StatusCode::BAD_REQUEST,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoRandomness | Self::Unwritable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        debug!(%status, error = %self, "request refused");
        (status, format!("{self}\n")).into_response()
    }
}
