//! `azwi issuer check` with a fake API server, and an issuer that is reached through an egress proxy. The issuer has a
//! name of the internet, which no test can look up.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::certificate::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::api_server::{Cluster, SIGNATURE, key};
use crate::fixture::healthy;
use crate::process::{kubeconfig, text};

const ISSUER: &str = "https://issuer.example.com/cluster/";

/// An issuer: its answers by path, each with its status line and headers.
struct Issuer {
    proxy: String,
    certificate: PathBuf,
}

impl Issuer {
    async fn start(answers: Vec<(&'static str, String)>) -> Self {
        let authority = Authority::new("Test").unwrap();
        let certificate = authority.server("issuer", &["issuer.example.com"]).unwrap();
        let acceptor = TlsAcceptor::from(certificate.server_config().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(answers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (acceptor, answers) = (acceptor.clone(), Arc::clone(&answers));
                tokio::spawn(async move {
                    let connect = head(&mut stream).await;
                    assert!(
                        connect.starts_with("CONNECT issuer.example.com:443 "),
                        "{connect}"
                    );
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    // A client that does not trust the certificate ends here.
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    loop {
                        let request = head(&mut stream).await;
                        let Some(path) = request.split(' ').nth(1) else {
                            return;
                        };
                        let answer = answers.iter().find(|(known, _)| *known == path);
                        let answer = answer.map_or(NOT_FOUND, |(_, answer)| answer);
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        let file = std::env::temp_dir().join(format!("azwi-issuer-{}-{port}", std::process::id()));
        fs::write(&file, authority.certificate()).unwrap();
        Self {
            proxy: format!("http://127.0.0.1:{port}"),
            certificate: file,
        }
    }

    async fn check(&self, cluster: Cluster, args: &[&str]) -> Output {
        let trusted = self.certificate.to_str().unwrap();
        self.check_trusting(trusted, cluster, args).await
    }

    async fn check_trusting(&self, trusted: &str, cluster: Cluster, args: &[&str]) -> Output {
        let address = cluster.start().await;
        let file = kubeconfig(&format!("http://{address}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_azwi"));
        command
            .args(["issuer", "check"])
            .args(args)
            .env("KUBECONFIG", &file)
            .env("HTTPS_PROXY", &self.proxy)
            .env("SSL_CERT_FILE", trusted);
        let output = timeout(Duration::from_secs(60), command.output()).await;
        fs::remove_file(file).unwrap();
        output.unwrap().unwrap()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.certificate);
    }
}

/// The head of a request, empty at the end of the connection.
async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const DISCOVERY: &str = "/cluster/.well-known/openid-configuration";
const KEYS: &str = "/cluster/openid/v1/jwks";

fn ok(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn discovery(issuer: &str, keys: &str) -> (&'static str, String) {
    (
        DISCOVERY,
        ok(&json!({ "issuer": issuer, "jwks_uri": keys })),
    )
}

fn keys(ids: &[&str]) -> (&'static str, String) {
    let keys: Vec<Value> = ids.iter().map(|it| key(it)).collect();
    (KEYS, ok(&json!({ "keys": keys })))
}

const KEYS_URL: &str = "https://issuer.example.com/cluster/openid/v1/jwks";

#[tokio::test]
async fn a_published_issuer_is_right() {
    let issuer = Issuer::start(vec![discovery(ISSUER, KEYS_URL), keys(&["key-1"])]).await;
    for args in [&[][..], &["-o", "json"], &[ISSUER]] {
        let output = issuer.check(healthy(), args).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(!text(&output).contains(SIGNATURE), "{}", text(&output));
    }
    let output = issuer.check(healthy(), &[]).await;
    let summary =
        "issuer https://issuer.example.com/cluster/: 1 keys published, 1 in the cluster\n";
    assert_eq!(text(&output), summary);
}

#[tokio::test]
async fn each_fault_of_the_documents_is_named() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: https://other.example.com/\r\nContent-Length: 0\r\n\r\n";
    for (answers, parts) in [
        (vec![], ["AZWI-T005", "its status is 404"]),
        (
            vec![(DISCOVERY, redirect.to_owned())],
            ["AZWI-T005", "redirects to https://other.example.com/"],
        ),
        (
            vec![(DISCOVERY, ok(&json!("no")))],
            ["AZWI-T005", "no such document"],
        ),
        (
            vec![(DISCOVERY, ok(&json!({ "issuer": "x".repeat(2_000_000) })))],
            ["AZWI-T005", "no such document"],
        ),
        (vec![discovery(ISSUER, KEYS_URL)], ["AZWI-T005", KEYS_URL]),
        (
            vec![discovery(ISSUER, "https://10.0.0.1:6443/openid/v1/jwks")],
            ["AZWI-T005", "no public https URL"],
        ),
        (
            vec![
                discovery("https://issuer.example.com/cluster", KEYS_URL),
                keys(&["key-1"]),
            ],
            ["AZWI-T003", "differ by the last slash"],
        ),
        (
            vec![discovery(ISSUER, KEYS_URL), keys(&["old"])],
            ["AZWI-T006", "key-1"],
        ),
    ] {
        let issuer = Issuer::start(answers).await;
        let output = issuer.check(healthy(), &[]).await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        for part in parts {
            assert!(text(&output).contains(part), "{part}: {}", text(&output));
        }
    }
}

/// It may be reached from elsewhere.
#[tokio::test]
async fn what_cannot_be_reached_or_read_is_not_checked() {
    let issuer = Issuer::start(vec![discovery(ISSUER, KEYS_URL), keys(&["key-1"])]).await;
    let output = issuer.check_trusting("", healthy(), &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("not checked: get https://issuer.example.com/"),
        "{}",
        text(&output)
    );
    let mut cluster = healthy();
    cluster.forbidden.insert("token");
    let output = issuer.check(cluster, &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let right = "the right to create serviceaccounts/token in namespace prod is missing";
    assert!(text(&output).contains(right), "{}", text(&output));
}
