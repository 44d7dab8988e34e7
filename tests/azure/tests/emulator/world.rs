//! An emulated Azure with a tenant, an identity, an issuer and a vault, and clients for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use azure_emulator::{
    Application, Azure, FederatedCredential, Issuer, KeySet, Kind, Options, SigningKey, Tenant,
    Vault,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const CLIENT: &str = "aaaaaaaa-0000-0000-0000-000000000001";
pub(crate) const OTHER_CLIENT: &str = "bbbbbbbb-0000-0000-0000-000000000002";
pub(crate) const ISSUER: &str =
    "https://oidc.cluster.example/11111111-2222-3333-4444-555555555555/";
pub(crate) const SUBJECT: &str = "system:serviceaccount:default:app";
pub(crate) const SCOPE: &str = "https://vault.azure.net/.default";
pub(crate) const VAULT: &str = "myvault";

/// Making a key takes seconds, so the tests share two.
static KEYS: LazyLock<Option<(SigningKey, SigningKey)>> =
    LazyLock::new(|| Some((SigningKey::generate().ok()?, SigningKey::generate().ok()?)));

/// The cluster's key and one that the cluster does not know.
pub(crate) fn keys() -> Result<&'static (SigningKey, SigningKey)> {
    KEYS.as_ref().context("no keys")
}

pub(crate) fn now() -> Result<i64> {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(passed.as_secs())?)
}

/// The claims of a good service account token.
pub(crate) fn claims() -> Result<Value> {
    let now = now()?;
    Ok(json!({
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": ["api://AzureADTokenExchange"],
        "iat": now,
        "nbf": now,
        "exp": now + 3_600,
        "kubernetes.io": { "namespace": "default" },
    }))
}

pub(crate) fn assertion() -> Result<String> {
    Ok(keys()?.0.sign(&claims()?)?)
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Result<Self> {
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| self.text.clone())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// The emulators, a key server for the issuer, and a client that trusts the CA.
pub(crate) struct World {
    pub(crate) azure: Azure,
    pub(crate) http: reqwest::Client,
    published: watch::Sender<KeySet>,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let azure = Azure::start(Options::default()).await?;
        let published = watch::Sender::new(keys()?.0.key_set());
        let jwks_url = serve_keys(published.subscribe()).await?;
        let control = &azure.control;
        control.add_tenant(&Tenant::new(TENANT)).await?;
        control
            .add_issuer(&Issuer {
                issuer: ISSUER.to_owned(),
                jwks_url: Some(jwks_url),
                ..Issuer::default()
            })
            .await?;
        for (client_id, name) in [(CLIENT, "app"), (OTHER_CLIENT, "other")] {
            control
                .add_application(&Application {
                    tenant: TENANT.to_owned(),
                    client_id: client_id.to_owned(),
                    name: name.to_owned(),
                    kind: Kind::ManagedIdentity,
                    federated_credentials: vec![FederatedCredential::service_account(
                        ISSUER, "default", "app",
                    )],
                    ..Application::default()
                })
                .await?;
        }
        control
            .add_vault(&Vault {
                name: VAULT.to_owned(),
                tenant: TENANT.to_owned(),
                readers: vec![CLIENT.to_owned()],
                secrets: [("greeting".to_owned(), "hello".to_owned())].into(),
            })
            .await?;
        let http = client(&azure)?;
        Ok(Self {
            azure,
            http,
            published,
        })
    }

    /// Changes the keys that the issuer publishes.
    pub(crate) fn publish(&self, keys: KeySet) {
        self.published.send_replace(keys);
    }

    /// Requests a token from Entra, with changes to a good request; an empty value omits a parameter.
    pub(crate) async fn token(&self, assertion: &str, changes: &[(&str, &str)]) -> Result<Answer> {
        self.token_at(&self.azure.entra_url(), TENANT, assertion, changes)
            .await
    }

    pub(crate) async fn token_at(
        &self,
        base: &str,
        tenant: &str,
        assertion: &str,
        changes: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut form = vec![
            ("client_assertion", assertion),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_id", CLIENT),
            ("grant_type", "client_credentials"),
            ("scope", SCOPE),
        ];
        for (name, value) in changes {
            form.retain(|(key, _)| key != name);
            form.push((name, value));
        }
        form.retain(|(_, value)| !value.is_empty());
        let url = format!("{base}{tenant}/oauth2/v2.0/token");
        Answer::read(self.http.post(url).form(&form).send().await?).await
    }

    /// Gets a good access token.
    pub(crate) async fn access_token(&self, changes: &[(&str, &str)]) -> Result<String> {
        let answer = self.token(&assertion()?, changes).await?;
        let token = answer.json()?["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| anyhow!("no token: {answer:?}"))
    }

    /// Reads a secret.
    pub(crate) async fn secret(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        let url = format!(
            "https://{VAULT}.vault.azure.net:{}{path}",
            self.azure.address.port()
        );
        let mut request = self.http.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Answer::read(request.send().await?).await
    }
}

/// A client that trusts the CA and resolves the usual names to the emulator.
pub(crate) fn client(azure: &Azure) -> Result<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(azure.ca_pem.as_bytes())?)?;
    let tls = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()?
    .with_root_certificates(roots)
    .with_no_client_auth();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, azure.address.port()));
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(Duration::from_secs(60))
        .no_proxy();
    for name in [
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "myvault.vault.azure.net",
        "nosuchvault.vault.azure.net",
        "cluster.z1.web.core.windows.net",
        "nosuchaccount.z1.web.core.windows.net",
    ] {
        builder = builder.resolve(name, address);
    }
    Ok(builder.build()?)
}

/// Publishes keys as an issuer does, over plain HTTP on a free port.
async fn serve_keys(published: watch::Receiver<KeySet>) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let published = Arc::new(published);
    let route = axum::routing::get(async move || axum::Json(published.borrow().clone()));
    let router = axum::Router::new().route("/jwks", route);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}/jwks"))
}
