//! `POST /mutate-v1-pod`: the HTTP around a review.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use service_kit::listener;
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::debug;

use super::Admission;
use super::review::ReviewError;

/// The path that the webhook configuration names.
pub const PATH: &str = "/mutate-v1-pod";

/// The route.
pub fn router(admission: Arc<Admission>) -> Router {
    Router::new()
        .route(PATH, post(handle))
        .with_state(admission)
}

async fn handle(State(admission): State<Arc<Admission>>, request: Request<Body>) -> Response {
    match answer(&admission, request).await {
        Ok(answer) => {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], answer).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(admission: &Admission, request: Request<Body>) -> Result<Vec<u8>, Refusal> {
    if !is_json(&request) {
        return Err(Refusal::MediaType);
    }
    // Held until the review is answered.
    let _place = admission.large_bodies.enter(length(&request)).await;
    let body = read(request.into_body()).await?;
    admission.review(&body).await
}

fn is_json(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    let text = content_type.and_then(|value| value.to_str().ok());
    let media_type = text.unwrap_or_default().split(';').next();
    let media_type = media_type.unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// An upper bound of the body's bytes. API servers always send a `Content-Length`.
fn length(request: &Request<Body>) -> usize {
    let length = hyper::body::Body::size_hint(request.body()).exact();
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.unwrap_or(MAX_BODY).min(MAX_BODY)
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(error)) if listener::is_slow(&*error as &(dyn Error + 'static)) => {
            Err(Refusal::TooSlow)
        }
        Ok(Err(_)) => Err(Refusal::Unreadable),
        Err(_) => Err(Refusal::TooSlow),
    }
}

/// Memory for large bodies. Reviews above [`LARGE_BODY`] are rare; together they may have
/// [`LARGE_BODIES`], and the others wait, so that clients cannot fill the memory of a replica.
#[derive(Debug)]
pub(super) struct LargeBodies(Semaphore);

impl Default for LargeBodies {
    fn default() -> Self {
        Self(Semaphore::new(LARGE_BODIES / UNIT))
    }
}

impl LargeBodies {
    async fn enter(&self, length: usize) -> Option<SemaphorePermit<'_>> {
        if length <= LARGE_BODY {
            return None;
        }
        let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.0.acquire_many(units).await.ok()
    }
}

/// Why a request gets an HTTP error instead of a review's answer.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Another media type, or none.
    #[error("send an AdmissionReview as application/json")]
    MediaType,
    /// The kernel returns no random numbers.
    #[error("the system returns no random numbers")]
    NoRandomness,
    /// The body is no review.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// The body is larger than `MAX_BODY`.
    #[error("the body is larger than {} MiB", MAX_BODY / MIB)]
    TooLarge,
    /// The body took longer than `BODY_TIMEOUT`, or was below the listener's minimum rate.
    #[error("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    TooSlow,
    /// The client closed the connection, or sent malformed chunks.
    #[error("the body could not be read")]
    Unreadable,
    /// Never in practice: every answer can be written as JSON.
    #[error("the answer cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoRandomness | Self::Unwritable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Review(_) | Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
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

const MIB: usize = 1024 * 1024;

/// Twice the API server's own limit of 3 MB for an object, and the envelope, in bytes.
const MAX_BODY: usize = 7 * MIB;

const LARGE_BODY: usize = 64 * 1024;

/// Bytes of four of the largest bodies.
const LARGE_BODIES: usize = 4 * MAX_BODY;

/// Bytes of one permit of [`LargeBodies`].
const UNIT: usize = 1024;

/// How long a body may take.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
