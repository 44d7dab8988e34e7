//! The header of every request for a token (IMDS R2). Server-side request forgery seldom can set one.

use http::{HeaderMap, HeaderName};

use super::refusal::Refusal;

/// Checks that a request has `Metadata: true`, once.
///
/// # Errors
///
/// It has none, as availability probes, or another one.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut metadata = headers.get_all(&METADATA).iter();
    match (metadata.next(), metadata.next()) {
        (None, _) => Err(Refusal::NoMetadataHeader),
        // Google's libraries and Snowflake's connectors send `True`.
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"true") => Ok(()),
        _ => Err(Refusal::OtherMetadataHeader),
    }
}

static METADATA: HeaderName = HeaderName::from_static("metadata");
