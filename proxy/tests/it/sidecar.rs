//! The sidecar, in the test's own process.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proxy::app::build;
use proxy::cli::Command;
use proxy::config::Config;
use proxy::startup::UnverifiedError;
use testkit::poll;
use tokio::sync::oneshot;

use crate::entra::Entra;
use crate::raw::{Answer, exchange};

pub(crate) const CLIENT: &str = "91be0000-1111-2222-3333-444455556666";
pub(crate) const OTHER_CLIENT: &str = "22220000-1111-2222-3333-444455556666";
pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const ISSUER: &str = "https://oidc.cluster.example/";
pub(crate) const SUBJECT: &str = "system:serviceaccount:shop:cart";
pub(crate) const AUDIENCE: &str = "api://AzureADTokenExchange";

/// The deadline of every wait.
pub(crate) const DEADLINE: Duration = poll::MINUTE;

/// A running sidecar. It ends when it is dropped.
pub(crate) struct Sidecar {
    pub(crate) address: SocketAddr,
    pub(crate) metrics_address: Option<SocketAddr>,
    pub(crate) token_file: TokenFile,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) ended: tokio::task::JoinHandle<Result<(), UnverifiedError>>,
}

/// A file with a service account token.
pub(crate) struct TokenFile(pub PathBuf);

impl Sidecar {
    /// Starts with `flags` and waits until it is ready.
    pub(crate) async fn start(entra: &Entra, flags: &[&str]) -> Self {
        let token_file = TokenFile::new();
        let config = config(entra, &token_file, flags);
        let sidecar = Self::start_with(config, token_file).await;
        sidecar.ready().await;
        sidecar
    }

    pub(crate) async fn start_with(config: Config, token_file: TokenFile) -> Self {
        let bound = build(config).await.unwrap();
        let (address, metrics_address) = (bound.address, bound.metrics_address);
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(bound.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            metrics_address,
            token_file,
            stop: Some(stop),
            ended,
        }
    }

    pub(crate) async fn ready(&self) {
        let probe = async || exchange(self.address, "GET /readyz HTTP/1.1\r\nHost: x\r\n").await;
        poll::until("readiness", probe, |answer| answer.status == 200).await;
    }

    /// Waits for a token, until a failure is no longer remembered.
    pub(crate) async fn until_granted(&self, query: &str) {
        let what = format!("a token for {query}");
        let ask = async || self.token(query).await;
        poll::until(&what, ask, |answer| answer.status == 200).await;
    }

    /// A token request with the `Metadata` header.
    pub(crate) async fn token(&self, query: &str) -> Answer {
        let target = format!("/metadata/identity/oauth2/token?{query}");
        self.get(&target, "Metadata: true\r\n").await
    }

    /// A GET with these header lines.
    pub(crate) async fn get(&self, target: &str, lines: &str) -> Answer {
        let head = format!("GET {target} HTTP/1.1\r\nHost: 169.254.169.254\r\n{lines}");
        exchange(self.address, &head).await
    }
}

impl TokenFile {
    pub(crate) fn new() -> Self {
        let name = format!("proxy-test-{}", uuid::Uuid::new_v4());
        let file = Self(std::env::temp_dir().join(name));
        file.write("first");
        file
    }

    /// Writes another token, with `mark` as its id.
    pub(crate) fn write(&self, mark: &str) {
        std::fs::write(&self.0, assertion(mark)).unwrap();
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A service account token with the claims that the sidecar reads.
pub(crate) fn assertion(mark: &str) -> String {
    let payload =
        format!(r#"{{"aud":["{AUDIENCE}"],"iss":"{ISSUER}","sub":"{SUBJECT}","jti":"{mark}"}}"#);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256"}"#),
        part(&payload),
        part("signature")
    )
}

/// The configuration for `entra` with these flags, on any free port.
pub(crate) fn config(entra: &Entra, token_file: &TokenFile, flags: &[&str]) -> Config {
    let all = self::flags(entra, token_file, flags);
    let all = std::iter::once("proxy").chain(all.iter().map(String::as_str));
    let mut config = match Command::parse(all.map(OsString::from), |_| None) {
        Ok(Command::Serve(config)) => *config,
        other => panic!("{other:?}"),
    };
    config.port = 0;
    config
}

/// The flags for `entra`. Those in `more` override the usual ones.
pub(crate) fn flags(entra: &Entra, token_file: &TokenFile, more: &[&str]) -> Vec<String> {
    let usual = [
        format!("--tenant-id={TENANT}"),
        format!("--client-id={CLIENT}"),
        format!(
            "--authority-host=https://localhost:{}/",
            entra.address.port()
        ),
        format!("--federated-token-file={}", token_file.0.display()),
        format!("--ca-data={}", entra.ca),
        // Tests have no redirect.
        "--loopback=on".to_owned(),
        // Nothing may leave this machine.
        "--metadata-ip=127.0.0.1".to_owned(),
        "--metadata-port=9".to_owned(),
    ];
    let name = |flag: &str| flag.split('=').next().map(str::to_owned);
    let given = |flag: &&String| more.iter().all(|more| name(more) != name(flag));
    let usual = usual.iter().filter(given).cloned();
    usual
        .chain(more.iter().copied().map(str::to_owned))
        .collect()
}
