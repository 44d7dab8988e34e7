//! Requests as the services see them, and their answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::Value;

use crate::jwt::SigningKey;
use crate::rule::TokenChange;

/// A request with its whole body.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The host without its port, in lower case.
    pub(crate) host: String,
}

impl Request {
    /// A header's value, when it is there once or more and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The parameters of a form in the body.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The path's parts between slashes.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path
            .strip_prefix('/')
            .unwrap_or(&self.path)
            .split('/')
            .collect()
    }

    /// The token of an `Authorization: Bearer` header.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    }

    /// The headers for the log: by name, and of a credential its scheme alone.
    pub(crate) fn loggable_headers(&self) -> BTreeMap<String, String> {
        self.headers
            .iter()
            .map(|(name, value)| {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                let text = match name.as_str() {
                    "authorization" => text.split(' ').next().unwrap_or_default().to_owned(),
                    _ => text,
                };
                (name.to_string(), text)
            })
            .collect()
    }
}

/// The details of a request, for the log and the rules.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) tenant: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) claims: Option<Value>,
}

/// The settings for one answer.
#[derive(Clone, Copy)]
pub(crate) struct Orders {
    /// Entra's key.
    pub(crate) key: &'static SigningKey,
    pub(crate) token: TokenChange,
    pub(crate) aadsts: Option<u32>,
}

/// A service's answer.
pub(crate) struct Answer {
    pub(crate) response: Response<Bytes>,
    pub(crate) aadsts: Option<u32>,
}

impl From<Response<Bytes>> for Answer {
    fn from(response: Response<Bytes>) -> Self {
        Self {
            response,
            aadsts: None,
        }
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    content(status, "application/json; charset=utf-8", body.to_string())
}

/// An answer of any content type.
pub(crate) fn content(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds headers with fixed values.
pub(crate) fn add_headers(
    response: &mut Response<Bytes>,
    headers: &[(&'static str, &'static str)],
) {
    for (name, value) in headers {
        response.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
}

/// Adds a header whose value comes from elsewhere; a value that no header can hold is left out.
pub(crate) fn add_header(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
}
