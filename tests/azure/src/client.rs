//! The control API as Rust functions.

use std::net::SocketAddr;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::control::{Listening, RuleId, Secret};
use crate::model::{
    Application, Counters, FederatedCredential, Issuer, Record, Resource, Service, Socket, Tenant,
    Vault,
};
use crate::rule::{Rule, RuleState};
use crate::storage::SUFFIX;

/// Why a control request failed.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The emulator cannot be reached, or its answer is malformed.
    #[error("cannot talk to the Azure emulator: {0}")]
    Transport(#[from] reqwest::Error),
    /// The emulator refuses.
    #[error("the Azure emulator refuses {path} with status {status}: {reason}")]
    Refused {
        /// The path of the request.
        path: String,
        /// The status of the answer.
        status: u16,
        /// The emulator's explanation.
        reason: String,
    },
}

/// The URL of a storage account's static website, without a slash at its end.
#[must_use]
pub fn website_url(account: &str) -> String {
    format!("https://{account}{SUFFIX}")
}

/// A client of the control API.
#[derive(Clone, Debug)]
pub struct Control {
    http: reqwest::Client,
    base: String,
}

type Result<T> = std::result::Result<T, ControlError>;

impl Control {
    /// A client for the emulator whose control API is at this address.
    pub fn new(address: SocketAddr) -> Result<Self> {
        let config = rustls::ClientConfig::builder_with_provider(
            rustls::crypto::ring::default_provider().into(),
        )
        .with_safe_default_protocol_versions();
        // The API is plain HTTP, but the HTTP library needs a TLS configuration.
        let mut http = reqwest::Client::builder().no_proxy();
        if let Ok(config) = config {
            let config = config
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            http = http.tls_backend_preconfigured(config);
        }
        Ok(Self {
            http: http.build()?,
            base: format!("http://{address}"),
        })
    }

    /// Checks that every service listens.
    pub async fn ready(&self) -> Result<()> {
        self.done(self.request(Method::GET, "/readyz")).await
    }

    /// The CA of the emulator's certificates, PEM.
    pub async fn ca_pem(&self) -> Result<String> {
        let response = self.send(self.request(Method::GET, "/ca.pem")).await?;
        Ok(response.text().await?)
    }

    /// Removes all registered objects, rules, requests and counters.
    pub async fn reset(&self) -> Result<()> {
        self.done(self.request(Method::POST, "/reset")).await
    }

    /// Registers a tenant, or replaces it.
    pub async fn add_tenant(&self, tenant: &Tenant) -> Result<()> {
        self.post("/tenants", tenant).await
    }

    /// Registers an application or a managed identity, or replaces it.
    pub async fn add_application(&self, application: &Application) -> Result<()> {
        self.post("/applications", application).await
    }

    /// Removes an application.
    pub async fn remove_application(&self, client_id: &str) -> Result<()> {
        let path = format!("/applications/{client_id}");
        self.done(self.request(Method::DELETE, &path)).await
    }

    /// Adds a federated identity credential to an application.
    pub async fn add_credential(
        &self,
        client_id: &str,
        credential: &FederatedCredential,
    ) -> Result<()> {
        let path = format!("/applications/{client_id}/federated-credentials");
        self.post(&path, credential).await
    }

    /// Removes a federated identity credential by its name.
    pub async fn remove_credential(&self, client_id: &str, name: &str) -> Result<()> {
        let path = format!("/applications/{client_id}/federated-credentials/{name}");
        self.done(self.request(Method::DELETE, &path)).await
    }

    /// Registers an issuer of service account tokens, or replaces it.
    pub async fn add_issuer(&self, issuer: &Issuer) -> Result<()> {
        self.post("/issuers", issuer).await
    }

    /// Registers a resource that tokens can be requested for.
    pub async fn add_resource(&self, resource: &Resource) -> Result<()> {
        self.post("/resources", resource).await
    }

    /// Registers a vault, or replaces it.
    pub async fn add_vault(&self, vault: &Vault) -> Result<()> {
        self.post("/vaults", vault).await
    }

    /// Sets a secret of a vault.
    pub async fn set_secret(&self, vault: &str, name: &str, value: &str) -> Result<()> {
        let path = format!("/vaults/{vault}/secrets/{name}");
        let secret = Secret {
            value: value.to_owned(),
        };
        self.done(self.request(Method::PUT, &path).json(&secret))
            .await
    }

    /// Turns the static website of a storage account on, at [`website_url`].
    pub async fn enable_website(&self, account: &str) -> Result<()> {
        let path = format!("/websites/{account}");
        self.done(self.request(Method::PUT, &path)).await
    }

    /// Removes the static website of a storage account, with its files.
    pub async fn remove_website(&self, account: &str) -> Result<()> {
        let path = format!("/websites/{account}");
        self.done(self.request(Method::DELETE, &path)).await
    }

    /// Writes a file of a static website.
    pub async fn put_file(
        &self,
        account: &str,
        path: &str,
        content_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<()> {
        let path = format!("/websites/{account}/{path}");
        let request = self
            .request(Method::PUT, &path)
            .header(CONTENT_TYPE, content_type)
            .body(bytes.into());
        self.done(request).await
    }

    /// The requests so far, to one service or to all.
    pub async fn requests(&self, service: Option<Service>) -> Result<Vec<Record>> {
        self.wait_for_requests(service, 0).await
    }

    /// Waits for this number of requests, at most five minutes, and returns them.
    pub async fn wait_for_requests(
        &self,
        service: Option<Service>,
        at_least: usize,
    ) -> Result<Vec<Record>> {
        let mut request = self
            .request(Method::GET, "/requests")
            .query(&[("at_least", at_least)]);
        if let Some(service) = service {
            request = request.query(&[("service", service)]);
        }
        self.read(request).await
    }

    /// Removes requests and counters.
    pub async fn forget_requests(&self) -> Result<()> {
        self.done(self.request(Method::DELETE, "/requests")).await
    }

    /// Gets the counts since the start or the last reset.
    pub async fn counters(&self) -> Result<Counters> {
        self.read(self.request(Method::GET, "/counters")).await
    }

    /// Adds a rule and returns its number.
    pub async fn add_rule(&self, rule: &Rule) -> Result<u64> {
        let request = self.request(Method::POST, "/rules").json(rule);
        Ok(self.read::<RuleId>(request).await?.id)
    }

    /// The rules, with the count of matches of each.
    pub async fn rules(&self) -> Result<Vec<RuleState>> {
        self.read(self.request(Method::GET, "/rules")).await
    }

    /// Removes a rule by its number.
    pub async fn remove_rule(&self, id: u64) -> Result<()> {
        let path = format!("/rules/{id}");
        self.done(self.request(Method::DELETE, &path)).await
    }

    /// Removes all rules.
    pub async fn clear_rules(&self) -> Result<()> {
        self.done(self.request(Method::DELETE, "/rules")).await
    }

    /// Closes a socket, so that connections are refused, or opens it again. Closing ends open
    /// connections.
    pub async fn set_listening(&self, socket: Socket, listening: bool) -> Result<()> {
        let name = match socket {
            Socket::Azure => "azure",
            Socket::Imds => "imds",
            Socket::TokenProxy => "token_proxy",
        };
        let path = format!("/sockets/{name}");
        self.done(
            self.request(Method::PUT, &path)
                .json(&Listening { listening }),
        )
        .await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.done(self.request(Method::POST, path).json(body)).await
    }

    async fn done(&self, request: RequestBuilder) -> Result<()> {
        self.send(request).await.map(drop)
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        Ok(self.send(request).await?.json().await?)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(ControlError::Refused {
            path: response.url().path().to_owned(),
            status: response.status().as_u16(),
            reason: response.text().await?,
        })
    }
}
