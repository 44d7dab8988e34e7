//! Emulated Entra that grants every exchange at once with one fixed answer: checking and signing would
//! be the emulator's time, not the proxy's.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use azure_emulator::{Azure, Options, Record, Respond, Rule, Service};
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
    ///
    /// When it cannot listen.
    pub fn start() -> Result<Self> {
        Self::with_rules((Ipv4Addr::LOCALHOST, 0), [grant(Lifetime::DAY)])
    }

    /// The same on Entra's own port, with a limit of exchanges in a second, above which it answers 429, and
    /// with tokens of this lifetime.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub fn throttling(per_second: u32, lifetime: Lifetime) -> Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, 443);
        Self::with_rules(address, [throttle(per_second), grant(lifetime)])
    }

    fn with_rules(
        address: impl Into<SocketAddr>,
        rules: impl IntoIterator<Item = Rule>,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let azure = runtime.block_on(async {
            let azure = Azure::start(Options {
                address: address.into(),
                token_proxy_address: None,
                ..Options::default()
            })
            .await?;
            for rule in rules {
                azure.control.add_rule(&rule).await?;
            }
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
    ///
    /// When the emulator has ended.
    pub fn exchanges(&self) -> Result<usize> {
        Ok(self.requests()?.len())
    }

    /// The exchanges that were requested so far.
    ///
    /// # Errors
    ///
    /// When the emulator has ended.
    pub fn requests(&self) -> Result<Vec<Record>> {
        let requests = self.azure.control.requests(Some(Service::Entra));
        let requests = self.runtime.block_on(requests)?.into_iter();
        let exchanges = requests.filter(|it| it.method == "POST" && it.target == TOKEN_PATH);
        Ok(exchanges.collect())
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

/// Seconds that a token lives, and after which it is to be refreshed.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// `expires_in`
    pub seconds: u32,
    /// `refresh_in`, if Entra names it.
    pub refresh_in: Option<u32>,
}

impl Lifetime {
    /// A managed identity's.
    const DAY: Self = Self {
        seconds: 86_399,
        refresh_in: None,
    };
}

/// Entra's answer above its limit.
fn throttle(per_second: u32) -> Rule {
    let body = serde_json::json!({
        "error": "temporarily_unavailable",
        "error_description": "AADSTS90055: The tenant has exceeded its limit of requests.",
        "error_codes": [90055],
    });
    Rule {
        over_per_second: Some(per_second),
        ..answer(429, &body, &[("retry-after", "5")])
    }
}

/// The answer to each exchange: a token as long as Entra's are for a managed identity.
fn grant(lifetime: Lifetime) -> Rule {
    let token = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#),
        "p".repeat(1_100),
        "s".repeat(342),
    );
    let mut body = serde_json::json!({
        "token_type": "Bearer",
        "expires_in": lifetime.seconds,
        "ext_expires_in": lifetime.seconds,
        "access_token": token,
    });
    if let (Some(fields), Some(seconds)) = (body.as_object_mut(), lifetime.refresh_in) {
        fields.insert("refresh_in".to_owned(), seconds.into());
    }
    answer(200, &body, &[])
}

fn answer(status: u16, body: &serde_json::Value, headers: &[(&str, &str)]) -> Rule {
    let json = ("content-type", "application/json; charset=utf-8");
    let headers = headers.iter().copied().chain([json]);
    Rule {
        service: Some(Service::Entra),
        path: Some(TOKEN_PATH.to_owned()),
        respond: Some(Respond {
            status,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
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
