//! The wire contract of the Azure Instance Metadata Service (IMDS), rules R1 to R16 of `docs/http-api.md`:
//! how a request is read, and the bytes of the answer. Nothing here does I/O.

mod body;
mod claims;
mod path;
mod query;

pub use body::{error, token};
pub use path::{Place, canonical, place};
pub use query::{TokenRequest, is_guid, is_parameter};

use http::{HeaderMap, HeaderName, Method};

use super::metadata_header;
use super::refusal::Refusal;

/// How to answer a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Refuse it here.
    Refuse(Refusal),
    /// Pass it on to the real IMDS, if the policy allows it.
    Relay,
    /// Answer with a token for this query, which [`TokenRequest::parse`] reads.
    Token(&'a str),
}

/// Decides only by method, path, query and headers, so that a probe costs no I/O (IMDS R2).
///
/// The `Metadata` header is checked before the query: availability probes rely on that order.
#[must_use]
pub fn decide<'a>(
    method: &Method,
    path: &str,
    query: Option<&'a str>,
    headers: &HeaderMap,
) -> Decision<'a> {
    match place(path) {
        Place::Token => match check_token_request(method, headers) {
            Ok(()) => Decision::Token(query.unwrap_or_default()),
            Err(refusal) => Decision::Refuse(refusal),
        },
        Place::TokenMisspelled => Decision::Refuse(Refusal::MisspelledTokenPath),
        Place::NodeIdentity => Decision::Refuse(Refusal::NodeIdentity),
        Place::Own => Decision::Refuse(Refusal::NotOwnPath),
        Place::Malformed => Decision::Refuse(Refusal::MalformedPath),
        Place::Elsewhere if method == Method::CONNECT => Decision::Refuse(Refusal::MalformedPath),
        Place::Elsewhere => Decision::Relay,
    }
}

fn check_token_request(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    metadata_header::check(headers)?;
    if headers.contains_key(&X_FORWARDED_FOR) {
        return Err(Refusal::Forwarded);
    }
    Ok(())
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "/metadata/identity/oauth2/token";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn refusal(method: Method, query: &str, lines: &[(&'static str, &'static str)]) -> Refusal {
        match decide(&method, TOKEN, Some(query), &headers(lines)) {
            Decision::Refuse(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn r2_checks_the_metadata_header_before_the_query() {
        for query in ["", "resource=a", "resource=a&resource=b&client_id=x"] {
            assert_eq!(refusal(Method::GET, query, &[]), Refusal::NoMetadataHeader);
        }
    }

    #[test]
    fn r2_requires_the_metadata_header_to_be_true_in_any_case() {
        for value in ["True", "TRUE", "true"] {
            let headers = headers(&[("metadata", value)]);
            let decision = decide(&Method::GET, TOKEN, Some("resource=a"), &headers);
            assert_eq!(decision, Decision::Token("resource=a"), "{value}");
        }
        for value in ["1", "", "true,true", "false", "truer"] {
            let refused = refusal(Method::GET, "resource=a", &[("metadata", value)]);
            assert_eq!(refused, Refusal::OtherMetadataHeader, "{value}");
        }
        let twice = [("metadata", "true"), ("metadata", "true")];
        assert_eq!(
            refusal(Method::GET, "resource=a", &twice),
            Refusal::OtherMetadataHeader
        );
    }

    #[test]
    fn r13_refuses_other_methods_and_forwarded_requests() {
        let lines = [("metadata", "true")];
        for method in [Method::POST, Method::HEAD, Method::PUT, Method::OPTIONS] {
            assert_eq!(refusal(method, "resource=a", &lines), Refusal::Method);
        }
        let lines = [("metadata", "true"), ("x-forwarded-for", "10.0.0.1")];
        assert_eq!(
            refusal(Method::GET, "resource=a", &lines),
            Refusal::Forwarded
        );
    }

    #[test]
    fn r12_ignores_unknown_headers() {
        let lines = [
            ("metadata", "true"),
            ("cookie", ""),
            ("content-type", "text/plain"),
        ];
        let decision = decide(&Method::GET, TOKEN, Some("resource=a"), &headers(&lines));
        assert_eq!(decision, Decision::Token("resource=a"));
    }

    #[test]
    fn r14_relays_other_paths() {
        for path in ["/metadata/instance", "/latest/meta-data/", "/"] {
            let decision = decide(&Method::PUT, path, None, &HeaderMap::new());
            assert_eq!(decision, Decision::Relay, "{path}");
        }
    }
}
