//! Entra's answers: a token, or an error.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::class::{self, Class};
use crate::redact::without_tokens;
use crate::token::Granted;

/// An answer that is not a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The HTTP status, or 0 if there was no answer.
    pub status: u16,
    /// The class of the error.
    pub class: Class,
    /// The OAuth error code.
    pub error: String,
    /// Entra's text, or the proxy's own where the answer is not Entra's.
    pub description: String,
    /// The number in `AADSTSnnn`.
    pub code: Option<u32>,
    /// The pause that Entra asks for.
    pub retry_after: Option<Duration>,
    /// Entra's `trace_id`.
    pub trace_id: Option<String>,
    /// Entra's `correlation_id`.
    pub correlation_id: Option<String>,
}

/// Reads an answer. `retry_after` is its header of that name. `secret` is the token that the request
/// presented, which an error may repeat.
///
/// # Errors
///
/// The answer is not a token.
pub fn parse(
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    secret: &str,
) -> Result<Granted, Box<Rejection>> {
    if status == 200
        && let Ok(success) = serde_json::from_slice::<Success>(body)
        && let Some(granted) = success.granted()
    {
        return Ok(granted);
    }
    Err(Box::new(rejection(status, retry_after, body, secret)))
}

fn rejection(status: u16, retry_after: Option<Duration>, body: &[u8], secret: &str) -> Rejection {
    let body = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body,
        // A body that is not Entra's is not passed on, because it may repeat the request.
        Err(_) => ErrorBody::foreign(status),
    };
    let code = body.code();
    let retry_after = class::retry_after(retry_after, code);
    let id = |id: &str| printable(id, LONGEST_ID, secret).replace(['\r', '\n'], " ");
    Rejection {
        status,
        class: Class::of(status, &body.error, code),
        error: id(&body.error),
        description: printable(&body.error_description, LONGEST_DESCRIPTION, secret),
        code,
        retry_after,
        trace_id: body.trace_id.as_deref().map(id),
        correlation_id: body.correlation_id.as_deref().map(id),
    }
}

/// The text, decoded from JSON, without tokens and control characters, cut to `longest` characters. It
/// reaches terminals through logs, and an untrusted server may have sent it.
fn printable(text: &str, longest: usize, secret: &str) -> String {
    let shown = |c: char| match c {
        '\r' | '\n' => c,
        c if contract::terminal::is_control(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let end = text.char_indices().nth(longest).map(|(end, _)| end);
    let text = end.and_then(|end| text.get(..end)).unwrap_or(text);
    without_tokens(text, secret).chars().map(shown).collect()
}

#[derive(Deserialize)]
struct Success {
    access_token: String,
    expires_in: Seconds,
    ext_expires_in: Option<Seconds>,
    refresh_in: Option<Seconds>,
}

impl Success {
    fn granted(self) -> Option<Granted> {
        let expires_in = self.expires_in.duration()?;
        Some(Granted {
            access_token: self.access_token.into(),
            expires_in,
            ext_expires_in: self
                .ext_expires_in
                .and_then(|seconds| seconds.duration())
                .unwrap_or(expires_in),
            refresh_in: self.refresh_in.and_then(|seconds| seconds.duration()),
        })
    }
}

/// Seconds, as a number or a string: authorities send both.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => *seconds,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Some(Duration::from_secs(seconds.min(LONGEST_LIFE)))
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Value,
    trace_id: Option<String>,
    correlation_id: Option<String>,
}

impl ErrorBody {
    fn foreign(status: u16) -> Self {
        let description = match status {
            429 => "Entra answered 429 Too Many Requests".to_owned(),
            300..=399 => format!(
                "the authority answered {status}, a redirect: is AZURE_AUTHORITY_HOST right?"
            ),
            _ => format!(
                "the authority answered {status} with something that is not Entra's JSON: is \
                 AZURE_AUTHORITY_HOST right, and does an egress proxy answer in its place?"
            ),
        };
        Self {
            error: match status {
                429 => "too_many_requests",
                200..=299 | 500..=599 => "service_unavailable",
                _ => "server_error",
            }
            .to_owned(),
            error_description: description,
            error_codes: Value::Null,
            trace_id: None,
            correlation_id: None,
        }
    }

    /// The first code, from the list or else from the text.
    fn code(&self) -> Option<u32> {
        let first = match &self.error_codes {
            Value::Array(codes) => codes.first(),
            code => Some(code),
        };
        let listed = match first {
            Some(Value::Number(code)) => code.as_u64().and_then(|code| code.try_into().ok()),
            Some(Value::String(code)) => code.parse().ok(),
            _ => None,
        };
        listed.or_else(|| {
            let (_, text) = self.error_description.split_once("AADSTS")?;
            let end = text.find(|character: char| !character.is_ascii_digit());
            text.get(..end.unwrap_or(text.len()))?.parse().ok()
        })
    }
}

/// In characters. Entra's longest texts have several hundred.
const LONGEST_DESCRIPTION: usize = 2_000;

/// In characters: more than any error code or GUID has.
const LONGEST_ID: usize = 100;

/// A year, in seconds. Bounds the sums of times; no token lives longer.
const LONGEST_LIFE: u64 = 366 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Result<Granted, Box<Rejection>> {
        super::parse(status, retry_after, body, "")
    }

    #[test]
    fn reads_a_token_with_numbers_or_strings() {
        for body in [
            r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3600,"refresh_in":1800,"access_token":"t"}"#,
            r#"{"access_token":"t","expires_in":"3599","ext_expires_in":"3600","refresh_in":"1800"}"#,
        ] {
            let granted = parse(200, None, body.as_bytes()).unwrap();
            assert_eq!(granted.access_token.reveal(), "t");
            assert_eq!(granted.expires_in.as_secs(), 3599);
            assert_eq!(granted.ext_expires_in.as_secs(), 3600);
            assert_eq!(granted.refresh_in.unwrap().as_secs(), 1800);
        }
    }

    #[test]
    fn ext_expires_in_and_refresh_in_are_optional() {
        let granted = parse(200, None, br#"{"access_token":"t","expires_in":60}"#).unwrap();
        assert_eq!(granted.ext_expires_in.as_secs(), 60);
        assert_eq!(granted.refresh_in, None);
    }

    #[test]
    fn reads_an_error_with_its_code_and_ids() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS700213: No matching\r\nTrace ID: x","error_codes":[700213],"timestamp":"2026-01-01 00:00:00Z","trace_id":"t-1","correlation_id":"c-1"}"#;
        let rejection = parse(401, None, body.as_bytes()).unwrap_err();
        assert_eq!(rejection.error, "invalid_client");
        assert_eq!(
            rejection.description,
            "AADSTS700213: No matching\r\nTrace ID: x"
        );
        assert_eq!(rejection.code, Some(700213));
        assert_eq!(rejection.trace_id.as_deref(), Some("t-1"));
        assert_eq!(rejection.correlation_id.as_deref(), Some("c-1"));
        assert_eq!(rejection.class, Class::Propagation);
    }

    #[test]
    fn finds_the_code_in_every_format() {
        for body in [
            r#"{"error":"e","error_codes":"70021"}"#,
            r#"{"error":"e","error_codes":["70021"]}"#,
            r#"{"error":"e","error_description":"AADSTS70021: text"}"#,
            r#"{"error":"e","error_description":"see AADSTS70021"}"#,
        ] {
            assert_eq!(
                parse(400, None, body.as_bytes()).unwrap_err().code,
                Some(70021),
                "{body}"
            );
        }
        let none = br#"{"error":"e","error_description":"AADSTS"}"#;
        assert_eq!(parse(400, None, none).unwrap_err().code, None);
    }

    #[test]
    fn replaces_control_characters() {
        let body = r#"{"error":"e\u001b[2J","error_description":"a\r\nb\u001b\u0007\u009b\u202e\u2066\u0000é","trace_id":"\u001b","correlation_id":"\n"}"#;
        let rejection = parse(400, None, body.as_bytes()).unwrap_err();
        assert_eq!(rejection.error, "e\u{fffd}[2J");
        let replaced = "\u{fffd}".repeat(6);
        assert_eq!(rejection.description, format!("a\r\nb{replaced}é"));
        assert_eq!(rejection.trace_id.as_deref(), Some("\u{fffd}"));
        let long = format!(
            r#"{{"error":"{0}","error_description":"{0}"}}"#,
            "é".repeat(9_000)
        );
        let rejection = parse(400, None, long.as_bytes()).unwrap_err();
        assert_eq!(rejection.error.chars().count(), LONGEST_ID);
        assert_eq!(rejection.description.chars().count(), LONGEST_DESCRIPTION);
    }

    #[test]
    fn law_8_an_error_does_not_repeat_a_token_in_any_spelling() {
        let secret =
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3VlciJ9.c2lnbmF0dXJlLW9mLWEtdG9rZW4";
        let escaped: String = secret
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect();
        let half = format!("\\u0065yJ{}", &secret[3..50]);
        let end = &secret[secret.len() - 30..];
        let deep = format!("{}{secret}", "x ".repeat(LONGEST_DESCRIPTION / 2 - 10));
        for text in [secret, &escaped, &half, end, &deep] {
            let body = format!(
                r#"{{"error":"e {text}","error_description":"AADSTS1: {text}","trace_id":"{text}","correlation_id":"{text}"}}"#
            );
            let rejection = super::parse(400, None, body.as_bytes(), secret).unwrap_err();
            let shown = format!("{rejection:?}");
            for at in 0..secret.len() - 16 {
                assert!(!shown.contains(&secret[at..at + 16]), "{text}: {shown}");
            }
            assert!(shown.contains("AADSTS1: "), "{shown}");
        }
    }

    #[test]
    fn does_not_repeat_a_body_that_is_not_entras() {
        let page = b"<html>client_assertion=secret</html>";
        for status in [200, 302, 403, 407, 429, 502] {
            let rejection = parse(status, Some(Duration::from_secs(7)), page).unwrap_err();
            assert!(!rejection.description.contains("secret"), "{status}");
            assert_eq!(rejection.retry_after, Some(Duration::from_secs(7)));
        }
        assert_eq!(
            parse(429, None, b"Too Many Requests").unwrap_err().class,
            Class::Throttled
        );
    }

    proptest! {
        #[test]
        fn never_panics(status in 100_u16..600, body in "\\PC{0,80}") {
            let _ = parse(status, None, body.as_bytes());
        }

        #[test]
        fn bounds_the_lifetime(seconds in any::<u64>()) {
            let body = format!(r#"{{"access_token":"t","expires_in":{seconds}}}"#);
            prop_assert!(parse(200, None, body.as_bytes()).unwrap().expires_in.as_secs() <= LONGEST_LIFE);
        }
    }
}
