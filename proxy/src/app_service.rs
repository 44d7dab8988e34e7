//! The token endpoint of App Service, versions 2017-09-01 and 2019-08-01: how SDKs get a token in
//! mode `environment`. Requests must carry a secret, and get nothing without it. No I/O.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use contract::app_service::{MIN_SECRET_LENGTH, PATH};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use thiserror::Error;
use time::OffsetDateTime;

use crate::imds::Answer;

/// What requests must carry, in `X-IDENTITY-HEADER` or `Secret`.
#[derive(Clone)]
pub struct Secret(String);

/// The protocol's version, which decides how the end of a token's life is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `api-version=2017-09-01`: a date.
    V2017,
    /// `api-version=2019-08-01`: seconds since 1970.
    V2019,
}

/// Why a request is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// Another method than GET.
    #[error("Only GET requests are supported")]
    Method,
    /// The secret is missing or wrong.
    #[error("the header X-IDENTITY-HEADER or Secret must hold the value of IDENTITY_HEADER")]
    Secret,
    /// No version, or one that is not spoken here.
    #[error("api-version must be 2019-08-01 or 2017-09-01")]
    Version,
}

/// Whether a path is the endpoint's. msrestazure adds a slash.
pub fn is_endpoint(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == PATH
}

/// Checks a request: the secret goes before anything else.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(
    secret: &Secret,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
) -> Result<Version, Refusal> {
    let shown = headers.get_all(&X_IDENTITY_HEADER).iter();
    let mut shown = shown.chain(headers.get_all(&SECRET));
    if !shown.any(|value| value.as_bytes().ct_eq(secret.0.as_bytes()).into()) {
        return Err(Refusal::Secret);
    }
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let version = parameters.find(|(name, _)| name.eq_ignore_ascii_case("api-version"));
    match version.as_ref().map(|(_, value)| value.as_ref()) {
        Some("2019-08-01") => Ok(Version::V2019),
        Some("2017-09-01") => Ok(Version::V2017),
        _ => Err(Refusal::Version),
    }
}

/// Says in App Service's words what `answer` says in those of IMDS.
pub fn translate(answer: Answer, version: Version) -> Answer {
    let status = answer.status();
    let body = if status == StatusCode::OK {
        token(answer.body(), version)
    } else {
        error(answer.body(), status)
    };
    // What was made here is read here.
    answer.with_body(body.unwrap_or_default())
}

impl Refusal {
    /// The answer that says so.
    pub fn answer(&self) -> Answer {
        let (status, error) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Secret => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Version => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        let answer = Answer::error(status, error, &self.to_string());
        let answer = match self {
            Self::Method => answer.allowing_get(),
            _ => answer,
        };
        translate(answer, Version::V2019)
    }
}

impl Secret {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is long enough not to be guessed, and can stand in a header.
    pub fn is_usable(&self) -> bool {
        self.0.len() >= MIN_SECRET_LENGTH && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

fn token(imds: &[u8], version: Version) -> Option<Bytes> {
    let mut token: TokenBody<'_> = serde_json::from_slice(imds).ok()?;
    if version == Version::V2017 {
        token.expires_on = Cow::Owned(date(token.expires_on.parse().ok()?)?);
    }
    serde_json::to_vec(&token).ok().map(Bytes::from)
}

fn error(imds: &[u8], status: StatusCode) -> Option<Bytes> {
    let ImdsError {
        error,
        error_description,
    } = serde_json::from_slice(imds).ok()?;
    let body = ErrorBody {
        status_code: status.as_u16(),
        message: &error_description,
        error: &error,
        error_description: &error_description,
    };
    serde_json::to_vec(&body).ok().map(Bytes::from)
}

/// `09/14/2017 03:04:05 PM +00:00`: go-autorest, the JVM's and Python's SDKs read no other order.
fn date(seconds: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let (half, hour) = match at.hour() {
        0 => ("AM", 12),
        hour @ 1..=11 => ("AM", hour),
        12 => ("PM", 12),
        hour => ("PM", hour - 12),
    };
    let (month, day, year) = (u8::from(at.month()), at.day(), at.year());
    let (minute, second) = (at.minute(), at.second());
    Some(format!(
        "{month:02}/{day:02}/{year} {hour:02}:{minute:02}:{second:02} {half} +00:00"
    ))
}

/// In the order of App Service's documentation.
#[derive(Deserialize, Serialize)]
struct TokenBody<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow)]
    expires_on: Cow<'a, str>,
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow)]
    token_type: Cow<'a, str>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ImdsError<'a> {
    #[serde(borrow)]
    error: Cow<'a, str>,
    #[serde(borrow)]
    error_description: Cow<'a, str>,
}

/// App Service's error, and IMDS's beside it: some SDKs show the one, some the other.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    status_code: u16,
    message: &'a str,
    error: &'a str,
    #[serde(rename = "error_description")]
    error_description: &'a str,
}

static X_IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");
static SECRET: HeaderName = HeaderName::from_static("secret");

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "0123456789abcdef0123456789abcdef";

    fn checked(
        method: Method,
        query: &str,
        lines: &[(&'static str, &str)],
    ) -> Result<Version, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        check(&VALUE.to_owned().into(), &method, query, &headers)
    }

    #[test]
    fn either_header_opens_the_endpoint() {
        let query = "resource=a&api-version=2019-08-01";
        for name in ["x-identity-header", "secret"] {
            assert_eq!(
                checked(Method::GET, query, &[(name, VALUE)]),
                Ok(Version::V2019)
            );
        }
        let query = "api-version=2017-09-01&resource=a";
        assert_eq!(
            checked(Method::GET, query, &[("secret", VALUE)]),
            Ok(Version::V2017)
        );
    }

    #[test]
    fn nothing_is_said_without_the_secret() {
        let query = "resource=a&api-version=2019-08-01";
        let almost = VALUE.replace('f', "e");
        for lines in [
            &[][..],
            &[("metadata", "true")],
            &[("secret", "")],
            &[("secret", almost.as_str())],
            &[("x-identity-header", &VALUE[1..])],
            &[("authorization", VALUE)],
        ] {
            for method in [Method::GET, Method::POST] {
                assert_eq!(
                    checked(method, query, lines),
                    Err(Refusal::Secret),
                    "{lines:?}"
                );
            }
        }
    }

    #[test]
    fn method_and_version_are_checked_next() {
        let secret = [("secret", VALUE)];
        let refused = checked(Method::POST, "api-version=2019-08-01", &secret);
        assert_eq!(refused, Err(Refusal::Method));
        for query in ["", "resource=a", "api-version=2018-02-01"] {
            assert_eq!(checked(Method::GET, query, &secret), Err(Refusal::Version));
        }
    }

    #[test]
    fn a_token_is_written_as_each_version_has_it() {
        let imds = r#"{"access_token":"e.y.J","client_id":"c","expires_in":"3600","expires_on":"1505401445","ext_expires_in":"3600","not_before":"1505397545","resource":"https://vault.azure.net","token_type":"Bearer"}"#;
        let translated = |version| {
            let answer = translate(Answer::token(imds.into()), version);
            String::from_utf8(answer.body().to_vec()).unwrap()
        };
        assert_eq!(
            translated(Version::V2019),
            r#"{"access_token":"e.y.J","expires_on":"1505401445","resource":"https://vault.azure.net","token_type":"Bearer","client_id":"c"}"#
        );
        assert_eq!(
            translated(Version::V2017),
            r#"{"access_token":"e.y.J","expires_on":"09/14/2017 03:04:05 PM +00:00","resource":"https://vault.azure.net","token_type":"Bearer","client_id":"c"}"#
        );
    }

    #[test]
    fn dates_have_twelve_hours_twice() {
        for (seconds, wanted) in [
            (0, "01/01/1970 12:00:00 AM +00:00"),
            (43_199, "01/01/1970 11:59:59 AM +00:00"),
            (43_200, "01/01/1970 12:00:00 PM +00:00"),
            (86_399, "01/01/1970 11:59:59 PM +00:00"),
        ] {
            assert_eq!(date(seconds).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn errors_are_said_in_both_tongues() {
        let answer = Answer::error(
            StatusCode::BAD_REQUEST,
            "invalid_client",
            "AADSTS700016: \"x\"",
        );
        let answer = translate(answer, Version::V2017);
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let said: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        let wanted = serde_json::json!({
            "statusCode": 400,
            "message": "AADSTS700016: \"x\"",
            "error": "invalid_client",
            "error_description": "AADSTS700016: \"x\"",
        });
        assert_eq!(said, wanted);
    }

    #[test]
    fn a_secret_is_long_and_is_not_shown() {
        let secret = |text: &str| Secret::from(text.to_owned());
        assert!(secret(VALUE).is_usable());
        assert!(!secret(&VALUE[1..]).is_usable());
        assert!(!secret(&format!("{VALUE}\n")).is_usable());
        assert!(!format!("{:?}", secret(VALUE)).contains("0123"));
    }
}
