//! The token endpoint of App Service, versions 2017-09-01, 2019-08-01 and newer: how SDKs get a
//! token in mode `environment`. The secret is checked before anything else of a request. No I/O.

use std::fmt;

use bytes::Bytes;
use contract::app_service::{MIN_SECRET_LENGTH, PATH};
use http::{HeaderMap, HeaderName, Method};
use serde::Serialize;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use super::answer::{self, Answer};
use super::error::ApiError;
use super::refusal::Refusal;
use crate::token::Token;

/// The secret that requests carry in `X-IDENTITY-HEADER` or `Secret`.
#[derive(Clone)]
pub struct Secret(String);

/// The protocol's version, which decides how the end of a token's life is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `api-version=2017-09-01`: a date.
    V2017,
    /// `api-version=2019-08-01` and newer: seconds since 1970.
    V2019,
}

/// Whether a path is the endpoint's. msrestazure adds a slash.
#[must_use]
pub fn is_endpoint(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == PATH
}

/// Checks a request: the secret first, then the method, then the version.
///
/// # Errors
///
/// The first check that fails.
pub fn check(
    secret: &Secret,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
) -> Result<Version, Refusal> {
    if !secret.is_shown(headers) {
        return Err(Refusal::Secret);
    }
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let version = parameters.find(|(name, _)| name.eq_ignore_ascii_case("api-version"));
    match version.as_ref().map(|(_, value)| value.as_ref()) {
        Some("2017-09-01") => Ok(Version::V2017),
        Some(version) if is_2019_or_newer(version) => Ok(Version::V2019),
        _ => Err(Refusal::ApiVersion),
    }
}

/// Whether a version is `2019-08-01` or of a later date. Newer ones have the same request and answer.
fn is_2019_or_newer(version: &str) -> bool {
    let Some(date) = version.as_bytes().get(..10) else {
        return false;
    };
    let is_date = date.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date && date >= b"2019-08-01".as_slice()
}

/// The body of the 200, in the order of App Service's documentation.
pub fn token<V>(token: &Token<V>, version: Version) -> Bytes {
    let expires_on = match version {
        Version::V2017 => date(token.expires_on),
        Version::V2019 => token.expires_on.to_string(),
    };
    answer::to_json(&TokenBody {
        access_token: token.access_token.reveal(),
        expires_in: &token.expires_in.to_string(),
        expires_on: &expires_on,
        resource: &token.key.resource,
        token_type: "Bearer",
        client_id: &token.key.client_id,
    })
}

/// The answer with an error, in App Service's format and that of IMDS at once, because SDKs differ in
/// which one they show.
#[must_use]
pub fn error(error: &ApiError) -> Answer {
    let body = ErrorBody {
        status_code: error.status.as_u16(),
        message: &error.description,
        error: &error.code,
        error_description: &error.description,
    };
    answer::error(error.status, &body, error.retry_after)
}

impl Secret {
    /// Whether a request carries the secret. Takes the same time for all values of the same length.
    #[must_use]
    pub fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get_all(&X_IDENTITY_HEADER).iter();
        let mut shown = shown.chain(headers.get_all(&SECRET));
        shown.any(|value| value.as_bytes().ct_eq(self.0.as_bytes()).into())
    }

    /// Whether the secret is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the secret is too long to guess and can be sent in a header.
    #[must_use]
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
        formatter.write_str("Secret(REDACTED)")
    }
}

/// Seconds since 1970 as `09/14/2017 03:04:05 PM +00:00`, the only form that the SDKs of Go, Java and
/// Python read.
fn date(seconds: u64) -> String {
    // The calendar ends after the year 9999, later than any token.
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (half, hour) = match at.hour() {
        0 => ("AM", 12),
        hour @ 1..=11 => ("AM", hour),
        12 => ("PM", 12),
        hour => ("PM", hour - 12),
    };
    let (month, day, year) = (u8::from(at.month()), at.day(), at.year());
    let (minute, second) = (at.minute(), at.second());
    format!("{month:02}/{day:02}/{year} {hour:02}:{minute:02}:{second:02} {half} +00:00")
}

#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    /// Not in App Service's documentation: mssql-jdbc 10.2.3 to 11.2.3 needs it, as IMDS writes it.
    expires_in: &'a str,
    expires_on: &'a str,
    resource: &'a str,
    token_type: &'a str,
    client_id: &'a str,
}

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
    use crate::api::testing;
    use http::StatusCode;
    use http_body_util::BodyExt;

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
    fn accepts_the_secret_in_either_header() {
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
    fn refuses_every_request_without_the_secret() {
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
    fn checks_method_and_version_after_the_secret() {
        let secret = [("secret", VALUE)];
        let refused = checked(Method::POST, "api-version=2019-08-01", &secret);
        assert_eq!(refused, Err(Refusal::Method));
        for query in [
            "",
            "resource=a",
            "api-version=2018-02-01",
            "api-version=2019-07-31",
            "api-version=2019",
            "api-version=2020-aa-01",
            "api-version=é020-01-01",
        ] {
            assert_eq!(
                checked(Method::GET, query, &secret),
                Err(Refusal::ApiVersion)
            );
        }
    }

    #[test]
    fn answers_newer_versions_as_that_of_2019() {
        for version in [
            "2019-08-01",
            "2025-03-30",
            "2019-08-01-preview",
            "2030-01-01",
        ] {
            let query = format!("resource=a&api-version={version}");
            let found = checked(Method::GET, &query, &[("secret", VALUE)]);
            assert_eq!(found, Ok(Version::V2019), "{version}");
        }
    }

    #[test]
    fn writes_a_token_in_the_format_of_each_version() {
        let value = testing::token("e.y.J", 1_505_401_445);
        assert_eq!(
            token(&value, Version::V2019),
            r#"{"access_token":"e.y.J","expires_in":"86386","expires_on":"1505401445","resource":"https://management.azure.com/","token_type":"Bearer","client_id":"da95e381-d7ab-4fdc-8047-2457909c723b"}"#
        );
        assert_eq!(
            token(&value, Version::V2017),
            r#"{"access_token":"e.y.J","expires_in":"86386","expires_on":"09/14/2017 03:04:05 PM +00:00","resource":"https://management.azure.com/","token_type":"Bearer","client_id":"da95e381-d7ab-4fdc-8047-2457909c723b"}"#
        );
    }

    #[test]
    fn writes_dates_with_a_twelve_hour_clock() {
        for (seconds, wanted) in [
            (0, "01/01/1970 12:00:00 AM +00:00"),
            (43_199, "01/01/1970 11:59:59 AM +00:00"),
            (43_200, "01/01/1970 12:00:00 PM +00:00"),
            (86_399, "01/01/1970 11:59:59 PM +00:00"),
        ] {
            assert_eq!(date(seconds), wanted);
        }
    }

    #[tokio::test]
    async fn writes_an_error_in_the_formats_of_app_service_and_imds() {
        let answer = error(&ApiError {
            status: StatusCode::BAD_REQUEST,
            code: "invalid_client".to_owned(),
            description: "AADSTS700016: \"x\"".to_owned(),
            retry_after: None,
        });
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let wanted = serde_json::json!({
            "statusCode": 400,
            "message": "AADSTS700016: \"x\"",
            "error": "invalid_client",
            "error_description": "AADSTS700016: \"x\"",
        });
        assert_eq!(body, wanted);
    }

    #[test]
    fn law_8_a_secret_is_long_and_not_shown() {
        let secret = |text: &str| Secret::from(text.to_owned());
        assert!(secret(VALUE).is_usable());
        assert!(!secret(&VALUE[1..]).is_usable());
        assert!(!secret(&format!("{VALUE}\n")).is_usable());
        assert!(!format!("{:?}", secret(VALUE)).contains("0123"));
    }
}
