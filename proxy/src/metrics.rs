//! The metrics endpoint. Each component registers its own metrics; their names are an interface, and are
//! listed in `docs/`.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::http::{Body, HeadError, Service};

/// Answers `/metrics`.
#[derive(Debug)]
pub struct Scrapes(pub Registry);

/// A registry with `azwi_proxy_build_info{version}` in it.
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("azwi_proxy");
    let build = Info::new([("version", contract::VERSION)]);
    registry.register("build", "The version of the proxy", build);
    registry
}

impl Scrapes {
    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

impl Service for Scrapes {
    async fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> Response<Body> {
        let answer = match (request.uri().path(), self.text()) {
            ("/metrics", Ok(text)) => answer(StatusCode::OK, OPEN_METRICS, text),
            ("/metrics", Err(error)) => {
                answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string())
            }
            _ => answer(StatusCode::NOT_FOUND, TEXT, "only /metrics is here"),
        };
        answer.map(Either::Left)
    }

    fn refuse_head(&self, _: HeadError) -> Response<Full<Bytes>> {
        answer(StatusCode::BAD_REQUEST, TEXT, "not a request in HTTP/1.1")
    }
}

fn answer(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
