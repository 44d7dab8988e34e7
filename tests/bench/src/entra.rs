//! Emulated Entra that grants every exchange at once with one fixed answer: checking and signing would
//! be the emulator's time, not the proxy's.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use azure_emulator::{Azure, Options, Respond, Rule, Service};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use testkit::certificate::client_config;
use tokio::runtime::Runtime;

use crate::client::{self, Answer};
use crate::process;

/// The name of the public cloud's Entra; the emulator's certificate is valid for it.
pub const NAME: &str = "login.microsoftonline.com";

/// The tenant of the exchanges.
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// The token endpoint's path.
pub const TOKEN_PATH: &str = "/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token";

/// The emulator, in a thread of its own. It ends when this is dropped.
pub struct Entra {
    azure: Azure,
    runtime: Runtime,
}

impl Entra {
    /// Starts the emulator and waits until it has nothing to do.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let azure = runtime.block_on(async {
            let azure = Azure::start(Options {
                token_proxy_address: None,
                ..Options::default()
            })
            .await?;
            azure.control.add_rule(&grant()).await?;
            anyhow::Ok(azure)
        })?;
        let entra = Self { azure, runtime };
        entra.wait_for_its_key()?;
        Ok(entra)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.azure.address
    }

    /// The CA of its certificate, PEM.
    pub fn ca(&self) -> &str {
        &self.azure.ca_pem
    }

    /// How many exchanges were requested so far.
    ///
    /// # Errors
    /// When the emulator has ended.
    pub fn exchanges(&self) -> Result<usize> {
        let requests = self.azure.control.requests(Some(Service::Entra));
        let requests = self.runtime.block_on(requests)?.into_iter();
        let exchanges = requests.filter(|it| it.method == "POST" && it.target == TOKEN_PATH);
        Ok(exchanges.count())
    }

    /// The emulator makes its RSA key in the background, which would disturb the first measurement.
    fn wait_for_its_key(&self) -> Result<()> {
        let keys = self.ask(&client::get("/common/discovery/v2.0/keys", ""))?;
        keys.ok().context("the emulator has no key")?;
        Ok(())
    }

    fn ask(&self, request: &[u8]) -> Result<Answer> {
        let tls = client_config(self.ca().as_bytes())?;
        let session = ClientConnection::new(tls, ServerName::try_from(NAME)?)?;
        let mut stream = StreamOwned::new(session, process::connect(self.address())?);
        Ok(client::ask(&mut stream, request)?)
    }
}

/// The answer to each exchange: a token as long as Entra's are for a managed identity, which is not
/// refreshed while the benchmark runs.
fn grant() -> Rule {
    let token = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#),
        "p".repeat(1_100),
        "s".repeat(342),
    );
    let body = serde_json::json!({
        "token_type": "Bearer",
        "expires_in": 86_399,
        "ext_expires_in": 86_399,
        "access_token": token,
    });
    let json = "application/json; charset=utf-8";
    Rule {
        service: Some(Service::Entra),
        path: Some(TOKEN_PATH.to_owned()),
        respond: Some(Respond {
            status: 200,
            headers: [("content-type".to_owned(), json.to_owned())].into(),
            body: body.to_string(),
            padding_bytes: 0,
        }),
        ..Rule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_every_exchange_and_counts_it() {
        let entra = Entra::start().unwrap();
        assert_eq!(entra.exchanges().unwrap(), 0);
        for count in 1..=2 {
            let answer = entra.ask(&client::post(TOKEN_PATH, b"")).unwrap();
            let text = String::from_utf8(answer.ok().unwrap().bytes).unwrap();
            assert!(
                text.contains("\"access_token\":\"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.p"),
                "{text}"
            );
            assert_eq!(entra.exchanges().unwrap(), count);
        }
    }
}
