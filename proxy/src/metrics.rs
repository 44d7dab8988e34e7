//! The metrics endpoint. Each component registers its own metrics; their names are an interface, and are
//! listed in `docs/`.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use service_kit::listener::{RequestBody, Service};
use service_kit::metrics::{CONTENT_TYPE, text};

/// Answers `/metrics`.
#[derive(Debug)]
pub struct Scrapes(pub Registry);

/// A registry with `azwi_proxy_build_info{version}` in it.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("azwi_proxy");
    let build = Info::new([("version", contract::VERSION)]);
    registry.register("build", "The version of the proxy", build);
    registry
}

impl Service for Scrapes {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<RequestBody>, _: SocketAddr) -> Response<Full<Bytes>> {
        if request.uri().path() != "/metrics" {
            return answer(StatusCode::NOT_FOUND, TEXT, "only /metrics is here");
        }
        match text(&self.0) {
            Ok(text) => answer(StatusCode::OK, CONTENT_TYPE, text),
            Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
        }
    }
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    answer
}

const TEXT: &str = "text/plain; charset=utf-8";
