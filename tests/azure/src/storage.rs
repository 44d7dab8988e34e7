//! Azure Storage: the static websites of storage accounts. Anyone may read their files, over HTTPS.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::clock;
use crate::message::{Request, add_header, add_headers, content};

/// Hosts of static websites end in this. The zone is one of several that Azure has.
pub(crate) const SUFFIX: &str = ".z1.web.core.windows.net";

/// The type of a file that was uploaded without one.
const DEFAULT_TYPE: &str = "application/octet-stream";

/// The static websites by the name of their storage account.
#[derive(Debug, Default)]
pub(crate) struct Websites(BTreeMap<String, BTreeMap<String, File>>);

/// A blob of the container `$web`.
#[derive(Clone, Debug)]
struct File {
    content_type: HeaderValue,
    bytes: Bytes,
}

impl Websites {
    /// Turns the static website of a storage account on. Its files stay.
    pub(crate) fn enable(&mut self, account: &str) {
        self.0.entry(account.to_ascii_lowercase()).or_default();
    }

    /// Writes a file. `false` when the account has no static website.
    pub(crate) fn put(
        &mut self,
        account: &str,
        path: &str,
        content_type: Option<HeaderValue>,
        bytes: Bytes,
    ) -> bool {
        let Some(files) = self.0.get_mut(&account.to_ascii_lowercase()) else {
            return false;
        };
        let content_type = content_type.unwrap_or_else(|| HeaderValue::from_static(DEFAULT_TYPE));
        let file = File {
            content_type,
            bytes,
        };
        files.insert(path.to_owned(), file);
        true
    }

    /// Removes a file, or the whole website. `false` when there is none.
    pub(crate) fn remove(&mut self, account: &str, path: Option<&str>) -> bool {
        let account = account.to_ascii_lowercase();
        match path {
            Some(path) => {
                let files = self.0.get_mut(&account);
                files.and_then(|it| it.remove(path)).is_some()
            }
            None => self.0.remove(&account).is_some(),
        }
    }

    fn files(&self, host: &str) -> Option<&BTreeMap<String, File>> {
        self.0.get(host.strip_suffix(SUFFIX)?)
    }

    /// Answers a request to a website's host.
    pub(crate) fn answer(&self, request: &Request) -> Response<Bytes> {
        let mut response = match self.find(request) {
            Ok(file) => {
                let mut response = Response::new(file.bytes.clone());
                let headers = response.headers_mut();
                headers.insert(http::header::CONTENT_TYPE, file.content_type.clone());
                response
            }
            Err(refusal) => refusal.answer(),
        };
        let server = ("server", "Windows-Azure-Web/1.0 Microsoft-HTTPAPI/2.0");
        add_headers(&mut response, &[server, ("x-ms-version", "2018-03-28")]);
        let id = Uuid::new_v4().to_string();
        add_header(&mut response, "x-ms-request-id", &id);
        response
    }

    fn find(&self, request: &Request) -> Result<&File, Refusal> {
        // With the original, DNS would have no such host.
        let files = self.files(&request.host).ok_or(Refusal::NoAccount)?;
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Refusal::Method);
        }
        let path = percent_decode_str(&request.path).decode_utf8_lossy();
        // The names of blobs are compared case-sensitively. No index document is set.
        let file = files.get(path.trim_start_matches('/'));
        file.ok_or(Refusal::NoContent)
    }
}

/// The host of a URL, when it is that of a static website.
pub(crate) fn website_host(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let host = url.host().filter(|_| url.scheme_str() == Some("https"))?;
    let host = host.to_ascii_lowercase();
    host.ends_with(SUFFIX).then_some(host)
}

/// Why a website does not answer with a file.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    NoAccount,
    Method,
    NoContent,
}

impl Refusal {
    /// The answer for people that Azure Storage gives.
    fn answer(self) -> Response<Bytes> {
        let (status, code, text) = match self {
            Self::NoAccount => (
                StatusCode::NOT_FOUND,
                "ResourceNotFound",
                "The specified resource does not exist.",
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "UnsupportedHttpVerb",
                "The resource doesn't support specified Http Verb.",
            ),
            Self::NoContent => (
                StatusCode::NOT_FOUND,
                "WebContentNotFound",
                "The requested content does not exist.",
            ),
        };
        let body = format!(
            "<!DOCTYPE html><html><head><title>{code}</title></head><body><h1>{text}</h1><p><ul>\
             <li>HttpStatusCode: {}</li><li>ErrorCode: {code}</li><li>TimeStamp : {}</li></ul></p></body></html>",
            status.as_u16(),
            clock::timestamp(clock::now()),
        );
        let mut response = content(status, "text/html", body);
        add_headers(&mut response, &[("x-ms-error-code", code)]);
        response
    }
}
