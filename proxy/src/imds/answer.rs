//! Answers made here. Each has a body, a Content-Type and a Content-Length (IMDS R6, R7).

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer as IMDS gives it. The body's length is known, so it is never sent in chunks: Hadoop's
/// ABFS client takes a chunked answer for a failure.
#[derive(Clone, Debug)]
pub struct Answer {
    allow_get: bool,
    body: Bytes,
    content_type: HeaderValue,
    retry_after: Option<u64>,
    status: StatusCode,
}

impl Answer {
    /// 200 with a rendered token.
    pub fn token(body: Bytes) -> Self {
        Self::new(StatusCode::OK, JSON, body)
    }

    /// `{"error":…,"error_description":…}`.
    pub fn error(status: StatusCode, error: &str, error_description: &str) -> Self {
        let body = ErrorBody {
            error,
            error_description,
        };
        // Two strings always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        Self::new(status, JSON, body.into())
    }

    /// A plain line, for probes and people.
    pub fn text(status: StatusCode, line: impl Into<Bytes>) -> Self {
        Self::new(status, TEXT, line.into())
    }

    /// 200 with a body of another type.
    pub fn typed(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(
            StatusCode::OK,
            HeaderValue::from_static(content_type),
            body.into(),
        )
    }

    /// Adds `Allow: GET`.
    #[must_use]
    pub fn allowing_get(mut self) -> Self {
        self.allow_get = true;
        self
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds;
        self
    }

    /// The same with another body.
    #[must_use]
    pub fn with_body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The response to send.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type);
        if self.allow_get {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    fn new(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        Self {
            allow_get: false,
            body,
            content_type,
            retry_after: None,
            status,
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
