//! An issuer that is reached through an egress proxy: it has a name of the internet, which no test can look up.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};
use testkit::certificate::Authority;
use testkit::poll::event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

use crate::api_server::Cluster;
use crate::process::kubeconfig;

pub(crate) const DISCOVERY: &str = "/cluster/.well-known/openid-configuration";
pub(crate) const KEYS: &str = "/cluster/openid/v1/jwks";
pub(crate) const KEYS_URL: &str = "https://issuer.example.com/cluster/openid/v1/jwks";

/// A path, and the answer to a request for it with its status line and headers.
pub(crate) type Answer = (&'static str, String);

/// An issuer behind an egress proxy.
pub(crate) struct Issuer {
    proxy: String,
    authority: Authority,
    /// The file of its certificate authority.
    certificate: PathBuf,
}

impl Issuer {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let authority = Authority::new("Test").unwrap();
        let certificate = authority.server("issuer", &["issuer.example.com"]).unwrap();
        let acceptor = TlsAcceptor::from(certificate.server_config().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answers) = (acceptor.clone(), Arc::clone(&answers));
                tokio::spawn(async move { serve(stream, &acceptor, &answers).await });
            }
        });
        let file = std::env::temp_dir().join(format!("azwi-issuer-{}-{port}", std::process::id()));
        fs::write(&file, authority.certificate()).unwrap();
        Self {
            proxy: format!("http://127.0.0.1:{port}"),
            authority,
            certificate: file,
        }
    }

    /// Its certificate authority, PEM.
    pub(crate) fn authority(&self) -> &str {
        self.authority.certificate()
    }

    /// Runs the program, which trusts the issuer's certificate.
    pub(crate) async fn azwi(&self, cluster: Cluster, args: &[&str]) -> Output {
        let trusted = self.certificate.to_str().unwrap();
        self.azwi_trusting(trusted, cluster, args).await
    }

    /// Runs the program with this file of certificate authorities.
    pub(crate) async fn azwi_trusting(
        &self,
        trusted: &str,
        cluster: Cluster,
        args: &[&str],
    ) -> Output {
        let address = cluster.start().await;
        let file = kubeconfig(&format!("http://{address}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_azwi"));
        command
            .args(args)
            .env("KUBECONFIG", &file)
            .env("HTTPS_PROXY", &self.proxy)
            .env("SSL_CERT_FILE", trusted);
        let output = event("azwi", command.output()).await;
        fs::remove_file(file).unwrap();
        output.unwrap()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.certificate);
    }
}

async fn serve(mut stream: TcpStream, acceptor: &TlsAcceptor, answers: &[Answer]) {
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

/// An answer with status 200.
pub(crate) fn ok(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The discovery document.
pub(crate) fn discovery(issuer: &str, keys: &str) -> Answer {
    (
        DISCOVERY,
        ok(&json!({ "issuer": issuer, "jwks_uri": keys })),
    )
}

/// The key set.
pub(crate) fn keys(keys: &[Value]) -> Answer {
    (KEYS, ok(&json!({ "keys": keys })))
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
