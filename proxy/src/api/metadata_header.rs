//! The header of every request for a token (IMDS R2). Server-side request forgery seldom can set one.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether a request has `Metadata: true`, once.
pub(super) fn has_metadata_header(headers: &HeaderMap) -> bool {
    let mut metadata = headers.get_all(&METADATA).iter();
    // Google's libraries and Snowflake's connectors send `True`.
    let is_true = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"true");
    metadata.next().is_some_and(is_true) && metadata.next().is_none()
}

static METADATA: HeaderName = HeaderName::from_static("metadata");
