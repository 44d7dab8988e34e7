//! The issuer's documents as the world sees them: through an egress proxy that leads to a server of the test.

use std::sync::Arc;

use serde_json::{Value, json};
use testkit::certificate::Authority;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

use crate::fixture::healthy;
use crate::process::{kubeconfig, text};

/// A server's answers by path: status and body.
type Answers = fn(&str) -> (u16, Value);

fn documents(path: &str, issuer: &str, key: Value) -> (u16, Value) {
    if path.ends_with("/.well-known/openid-configuration") {
        let keys = "https://issuer.example.com/keys";
        (200, json!({ "issuer": issuer, "jwks_uri": keys }))
    } else {
        (200, json!({ "keys": [key] }))
    }
}

const ISSUER: &str = "https://issuer.example.com/cluster/";

fn key() -> Value {
    json!({ "kid": "key-1", "kty": "RSA", "alg": "RS256", "use": "sig" })
}

const CASES: &[(Option<&str>, Answers)] = &[
    (None, |path| documents(path, ISSUER, key())),
    (Some("AZWI-T005"), |_| (404, json!({}))),
    (Some("AZWI-T005"), |_| (200, json!("<html>"))),
    (Some("AZWI-T003"), |path| {
        documents(path, "https://issuer.example.com/cluster", key())
    }),
    (Some("AZWI-T006"), |path| {
        documents(path, ISSUER, json!({ "kid": "key-0", "kty": "RSA" }))
    }),
    (Some("AZWI-T007"), |path| {
        documents(
            path,
            ISSUER,
            json!({ "kid": "key-1", "kty": "RSA", "use": "enc" }),
        )
    }),
];

#[tokio::test]
async fn the_published_documents_are_compared_with_the_token() {
    for (code, answers) in CASES {
        let authority = Authority::new("ca").unwrap();
        let proxy = start(&authority, *answers).await;
        let address = healthy().start().await;
        let file = kubeconfig(&format!("http://{address}"));
        let ca = file.with_extension("pem");
        std::fs::write(&ca, authority.certificate()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_azwi"));
        command
            .args(["check", "deploy/shop"])
            .env("KUBECONFIG", &file)
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}"))
            .env("SSL_CERT_FILE", &ca);
        let output = testkit::poll::event("azwi", command.output())
            .await
            .unwrap();
        for file in [file, ca] {
            std::fs::remove_file(file).unwrap();
        }
        let text = text(&output);
        match code {
            Some(code) => {
                assert_eq!(output.status.code(), Some(1), "{code}: {text}");
                assert!(
                    text.starts_with("error: ") && text.contains(code),
                    "{code}: {text}"
                );
            }
            None => assert_eq!(output.status.code(), Some(0), "{text}"),
        }
    }
}

/// Starts an egress proxy with the issuer's server behind it, and returns its port.
async fn start(authority: &Authority, answers: Answers) -> u16 {
    let certificate = authority.server("issuer", &["issuer.example.com"]).unwrap();
    let acceptor = TlsAcceptor::from(certificate.server_config().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = Arc::new(acceptor);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = Arc::clone(&acceptor);
            tokio::spawn(async move { serve(stream, &acceptor, answers).await });
        }
    });
    port
}

async fn serve(mut stream: TcpStream, acceptor: &TlsAcceptor, answers: Answers) {
    head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    let head = head(&mut stream).await;
    let (status, body) = answers(head.split(' ').nth(1).unwrap());
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// The head of a request.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
