//! `POST /quitquitquit`: a container of the pod ends the proxy. For Jobs with a plain sidecar, which nothing
//! else ends. The path is that of the Envoy sidecars that Jobs call already.
//!
//! The request has to come from a program in the pod: not from a browser, a proxy or one forged request (SSRF).

use bytes::Bytes;
use http::header::{FORWARDED, ORIGIN, REFERER};
use http::{HeaderMap, HeaderName, Method};
use tokio::sync::Notify;

use super::app_service::Secret;
use super::metadata_header;
use super::refusal::Refusal;

/// Whether a path is the route's, with or without a slash at the end.
#[must_use]
pub fn is_route(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == PATH
}

/// The route's path. Nothing that begins with it is relayed.
pub const PATH: &str = "/quitquitquit";

/// The body of the 200.
pub const BODY: Bytes = Bytes::from_static(br#"{"status":"ending"}"#);

/// The end of the process, if the route is on.
#[derive(Debug, Default)]
pub struct Quit(Notify);

impl Quit {
    /// Waits until a request has asked for the end.
    pub async fn requested(&self) {
        self.0.notified().await;
    }

    /// Asks for the end, also of a later [`Self::requested`].
    pub fn request(&self) {
        self.0.notify_one();
    }
}

/// Checks a request. In mode `environment` it needs the secret, which `kubectl port-forward` does not have; in
/// mode `redirect` it must come through the redirect, or `loopback` be allowed.
///
/// # Errors
///
/// The first check that fails.
pub fn check(
    method: &Method,
    headers: &HeaderMap,
    secret: Option<&Secret>,
    is_loopback_refused: bool,
) -> Result<(), Refusal> {
    if method != Method::POST {
        return Err(Refusal::QuitMethod);
    }
    metadata_header::check(headers)?;
    if FROM_ELSEWHERE.iter().any(|name| headers.contains_key(name)) {
        return Err(Refusal::QuitFromElsewhere);
    }
    match secret {
        Some(secret) if !secret.is_shown(headers) => Err(Refusal::Secret),
        None if is_loopback_refused => Err(Refusal::Loopback),
        _ => Ok(()),
    }
}

/// Headers of proxies and browsers.
static FROM_ELSEWHERE: [HeaderName; 4] = [
    FORWARDED,
    ORIGIN,
    REFERER,
    HeaderName::from_static("x-forwarded-for"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn needs_post_and_one_metadata_header() {
        for value in ["true", "True"] {
            let headers = headers(&[("metadata", value)]);
            assert_eq!(check(&Method::POST, &headers, None, false), Ok(()));
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
                let refused = check(&method, &headers, None, false);
                assert_eq!(refused, Err(Refusal::QuitMethod), "{method}");
            }
        }
        for (lines, refusal) in [
            (&[][..], Refusal::NoMetadataHeader),
            (&[("metadata", "false")], Refusal::OtherMetadataHeader),
            (
                &[("metadata", "true"), ("metadata", "true")],
                Refusal::OtherMetadataHeader,
            ),
        ] {
            let refused = check(&Method::POST, &headers(lines), None, false);
            assert_eq!(refused, Err(refusal), "{lines:?}");
        }
    }

    #[test]
    fn refuses_what_comes_through_a_proxy_or_from_a_browser() {
        for name in ["x-forwarded-for", "forwarded", "origin", "referer"] {
            let headers = headers(&[("metadata", "true"), (name, "")]);
            let refused = check(&Method::POST, &headers, None, false);
            assert_eq!(refused, Err(Refusal::QuitFromElsewhere), "{name}");
        }
    }

    #[test]
    fn needs_the_secret_or_the_redirect() {
        let secret = SECRET.to_owned().into();
        let check = |lines: &[_], secret, is_loopback_refused| {
            let headers = headers(&[&[("metadata", "true")], lines].concat());
            check(&Method::POST, &headers, secret, is_loopback_refused)
        };
        for name in ["x-identity-header", "secret"] {
            for is_loopback_refused in [true, false] {
                let shown = check(&[(name, SECRET)], Some(&secret), is_loopback_refused);
                assert_eq!(shown, Ok(()), "{name}");
            }
        }
        for lines in [&[][..], &[("secret", "wrong")]] {
            assert_eq!(check(lines, Some(&secret), false), Err(Refusal::Secret));
        }
        let without = check(&[("secret", SECRET)], None, true);
        assert_eq!(without, Err(Refusal::Loopback));
    }

    #[tokio::test]
    async fn a_request_is_remembered() {
        let quit = Quit::default();
        quit.request();
        quit.requested().await;
    }
}
