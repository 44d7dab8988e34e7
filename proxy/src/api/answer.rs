//! Answers of the proxy itself. Each has a body, a Content-Type and a Content-Length (IMDS R6, R7).

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// A response with a body of known length, so it is never sent in chunks: Hadoop's ABFS client takes
/// a chunked answer for a failure.
pub(crate) type Answer = Response<Full<Bytes>>;

/// 200 with a JSON body.
pub(crate) fn json(body: Bytes) -> Answer {
    answer(StatusCode::OK, JSON, body)
}

/// An error with the JSON of `body`. 405 comes with `Allow: GET`; `retry_after` is in seconds.
pub(crate) fn error(status: StatusCode, body: &impl Serialize, retry_after: Option<u64>) -> Answer {
    let mut answer = answer(status, JSON, to_json(body));
    let headers = answer.headers_mut();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// A line of plain text.
pub(crate) fn text(status: StatusCode, line: impl Into<Bytes>) -> Answer {
    answer(status, TEXT, line.into())
}

/// `body` as JSON.
pub(crate) fn to_json(body: &impl Serialize) -> Bytes {
    // Structs of strings and numbers always serialise.
    serde_json::to_vec(body).unwrap_or_default().into()
}

fn answer(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
