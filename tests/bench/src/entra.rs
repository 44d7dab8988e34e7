//! A token endpoint that grants every exchange at once and counts them.

use std::convert::Infallible;
use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;

use crate::certificate;

/// The name that it has a certificate for: the one of the public cloud.
pub const NAME: &str = "login.microsoftonline.com";

/// A token endpoint that runs until this process ends.
#[derive(Debug)]
pub struct Entra {
    /// Where it listens, on a port of its own.
    pub address: SocketAddr,
    /// What its clients have to trust, in PEM.
    pub ca: String,
    exchanges: Arc<AtomicU64>,
}

impl Entra {
    /// Starts it in a thread.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<Self> {
        let certificate = certificate::make(NAME)?;
        let tls = certificate::server(
            certificate.certificate.as_bytes(),
            certificate.key.as_bytes(),
        )?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let exchanges = Arc::<AtomicU64>::default();
        let endpoint = Endpoint {
            exchanges: Arc::clone(&exchanges),
            grant: grant(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .spawn(move || runtime.block_on(serve(listener, tls.into(), endpoint)))
            .context("cannot start the token endpoint")?;
        Ok(Self {
            address,
            ca: certificate.ca,
            exchanges,
        })
    }

    /// How many tokens it has granted so far.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Endpoint {
    exchanges: Arc<AtomicU64>,
    grant: Bytes,
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    endpoint: Endpoint,
) -> std::io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let handshake = acceptor.accept(stream);
        let endpoint = endpoint.clone();
        tokio::spawn(async move {
            let Ok(stream) = handshake.await else { return };
            let service = service_fn(move |request| answer(endpoint.clone(), request));
            // A client may leave whenever it likes.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    endpoint: Endpoint,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let is_exchange =
        request.method() == Method::POST && request.uri().path().ends_with("/oauth2/v2.0/token");
    // The form is read to its end, so that the connection can be used again.
    request.into_body().collect().await?;
    let mut response = Response::new(Full::default());
    if is_exchange {
        endpoint.exchanges.fetch_add(1, Ordering::Relaxed);
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, json);
        *response.body_mut() = endpoint.grant.into();
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    ready(Ok(response)).await
}

/// A token as long as Entra's are for a managed identity, which no refresh interrupts.
fn grant() -> Bytes {
    let token = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#),
        "p".repeat(1_100),
        "s".repeat(342),
    );
    serde_json::json!({
        "token_type": "Bearer",
        "expires_in": 86_399,
        "ext_expires_in": 86_399,
        "access_token": token,
    })
    .to_string()
    .into()
}
