//! A client that can send malformed requests.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use testkit::poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const SERVER_NAME: &str = "azure-wi-webhook-webhook-service.system.svc";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The trust in a bundle, as the API server has it.
pub(crate) fn roots(bundle: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// A TLS connection.
pub(crate) async fn connect(
    address: SocketAddr,
    bundle: &str,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = config(bundle, version, protocols);
    handshake(TcpStream::connect(address).await?, config).await
}

fn config(
    bundle: &str,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> ClientConfig {
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(bundle))
            .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    config
}

async fn handshake(
    stream: TcpStream,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// TLS on a connection, as API servers have it.
pub(crate) async fn with_tls(
    stream: TcpStream,
    bundle: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(
        stream,
        config(bundle, &rustls::version::TLS13, &["http/1.1"]),
    )
    .await
}

/// As an API server connects.
pub(crate) async fn connect_as_api_server(
    address: SocketAddr,
    bundle: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect(address, bundle, &rustls::version::TLS13, &["http/1.1"]).await
}

/// Sends a request and reads its answer.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    head: &str,
    body: &[u8],
) -> std::io::Result<Answer> {
    let exchange = async {
        let head = format!(
            "{head}\r\nHost: {SERVER_NAME}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        // A server that has read enough may have answered and closed already.
        let _ = stream.write_all(body).await;
        let _ = stream.flush().await;
        read(stream).await
    };
    poll::event("an answer", exchange).await
}

/// A request over a new connection in the clear.
pub(crate) async fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    exchange(&mut stream, &format!("GET {path} HTTP/1.1"), b"").await
}

/// Sends a review.
pub(crate) async fn review(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    body: &[u8],
) -> std::io::Result<Answer> {
    let head = "POST /mutate-v1-pod?timeout=5s HTTP/1.1\r\nContent-Type: application/json";
    exchange(stream, head, body).await
}

/// Reads an answer with a known length.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Answer { status, head, body })
}
