//! The limit of the machine: servers that only answer the same bytes.

use std::convert::Infallible;
use std::fs;
use std::future::ready;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use testkit::certificate::Certificate;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::arguments::Bare;

/// Serves until the process is ended: over plain HTTP with hyper alone, over TLS with axum and rustls,
/// reading each request to its end.
///
/// # Errors
///
/// When a file is malformed, or the port is taken.
pub fn serve(arguments: &Bare) -> Result<()> {
    let answer = FixedAnswer::read(&arguments.answer)?;
    match &arguments.certificates {
        None => http(arguments.port, answer),
        Some(directory) => https(arguments.port, answer, directory),
    }
}

fn http(port: u16, answer: FixedAnswer) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = answer.clone();
            let service =
                service_fn(move |_| ready(Ok::<_, Infallible>(answer.response::<Full<Bytes>>())));
            // A client may close its connection at any time.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

fn https(port: u16, answer: FixedAnswer, certificates: &Path) -> Result<()> {
    let file = |name| fs::read_to_string(certificates.join(name)).context(name);
    let certificate = Certificate {
        certificate: file("tls.crt")?,
        key: file("tls.key")?,
    };
    let acceptor = TlsAcceptor::from(certificate.server_config()?);
    let router = Router::new().fallback(move |_: Bytes| ready(answer.response::<Body>()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let handshake = acceptor.accept(stream);
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let Ok(stream) = handshake.await else { return };
                // A client may close its connection at any time.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

/// An answer, read from a file.
#[derive(Clone)]
struct FixedAnswer {
    body: Bytes,
    headers: HeaderMap,
    status: StatusCode,
}

impl FixedAnswer {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("{} holds no HTTP response", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(bytes)? else {
            bail!("the head is incomplete");
        };
        let mut headers = HeaderMap::new();
        for header in answer.headers.iter() {
            let name: HeaderName = header.name.parse()?;
            // hyper writes these by itself.
            if ![CONNECTION, CONTENT_LENGTH, DATE].contains(&name) {
                headers.append(name, HeaderValue::from_bytes(header.value)?);
            }
        }
        Ok(Self {
            body: Bytes::copy_from_slice(bytes.get(head..).unwrap_or_default()),
            headers,
            status: StatusCode::from_u16(answer.code.unwrap_or_default())?,
        })
    }

    fn response<B: From<Bytes>>(&self) -> Response<B> {
        let mut response = Response::new(self.body.clone().into());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_an_answer_without_the_headers_that_hyper_adds() {
        let bytes = b"HTTP/1.1 400 Bad Request\r\nContent-Type: a/b\r\nDate: x\r\n\
            Content-Length: 4\r\n\r\nbody";
        let answer = FixedAnswer::parse(bytes).unwrap();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body, "body");
        assert_eq!(answer.headers.len(), 1);
        assert_eq!(answer.headers["content-type"], "a/b");
    }

    #[test]
    fn half_an_answer_is_an_error() {
        assert!(FixedAnswer::parse(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
