//! The JSON types of the control API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::jwt::KeySet;

/// A directory of Entra.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant's id, a GUID.
    pub id: String,
    /// Domain names that are accepted in place of the id, such as `contoso.onmicrosoft.com`.
    #[serde(default)]
    pub domains: Vec<String>,
    /// The host of the cloud that the tenant is in. Another cloud's host does not know it.
    #[serde(default = "public_cloud")]
    pub authority: String,
}

impl Tenant {
    /// A tenant of the public cloud.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            domains: Vec::new(),
            authority: public_cloud(),
        }
    }
}

fn public_cloud() -> String {
    "login.microsoftonline.com".to_owned()
}

/// The kind of an identity.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A user-assigned managed identity: tokens of 24 hours with `xms_mirid`.
    #[default]
    ManagedIdentity,
    /// An app registration: tokens of an hour.
    Application,
}

/// An identity that tokens are given for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The tenant it lives in.
    pub tenant: String,
    /// Its client id, a GUID.
    pub client_id: String,
    /// The object id of its service principal; empty: the client id.
    #[serde(default)]
    pub object_id: String,
    /// The name of its service principal, which a managed identity's tokens have in `xms_mirid`.
    #[serde(default)]
    pub name: String,
    /// Whether it is a managed identity or an app registration.
    #[serde(default)]
    pub kind: Kind,
    /// The credentials that it trusts. Entra allows 20 at most.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// A federated identity credential: the tokens that an application accepts as its credential. All three values are
/// compared case-sensitively.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    /// Its name, unique in the application; empty: made from the subject.
    #[serde(default)]
    pub name: String,
    /// The issuer, with or without its trailing slash as in the token.
    pub issuer: String,
    /// The subject, `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// The accepted audiences.
    #[serde(default = "default_audiences")]
    pub audiences: Vec<String>,
}

impl FederatedCredential {
    /// A credential for a Kubernetes service account, with Entra's usual audience.
    pub fn service_account(issuer: &str, namespace: &str, name: &str) -> Self {
        Self {
            name: String::new(),
            issuer: issuer.to_owned(),
            subject: format!("system:serviceaccount:{namespace}:{name}"),
            audiences: default_audiences(),
        }
    }
}

fn default_audiences() -> Vec<String> {
    vec![crate::entra::AUDIENCE.to_owned()]
}

/// Where the keys of an issuer of service account tokens are. One of `jwks_url` and `jwks` is set.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The issuer, as tokens name it.
    pub issuer: String,
    /// Where to fetch its keys, over HTTP or HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The keys themselves, when they cannot be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<KeySet>,
    /// The CA of `jwks_url`, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// The file with the CA of `jwks_url`, PEM. It is read whenever the keys are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

/// A service that tokens can be requested for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its identifiers, without a trailing slash: tokens can be requested for either spelling.
    pub identifiers: Vec<String>,
}

/// A key vault, reachable as `https://NAME.vault.azure.net`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Its name, the first label of its host.
    pub name: String,
    /// The tenant whose tokens it accepts.
    pub tenant: String,
    /// The client or object ids that may read its secrets.
    #[serde(default)]
    pub readers: Vec<String>,
    /// Secrets by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
}

/// A service of the emulator.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Entra, by the host of a login service.
    Entra,
    /// The IMDS of the node.
    Imds,
    /// Key Vault, by the host of a vault.
    KeyVault,
    /// The static websites of Azure Storage, by the host of a website.
    Storage,
    /// The token proxy of AKS identity bindings.
    TokenProxy,
}

/// A socket of the emulator that can be closed and opened again.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Socket {
    /// HTTPS: Entra, Key Vault and static websites.
    Azure,
    /// HTTP: the node's IMDS.
    Imds,
    /// HTTPS: the token proxy.
    TokenProxy,
}

/// A request to the emulator. It contains no token and no assertion.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// Its number, from 1.
    pub sequence: u64,
    /// The time of its arrival, in seconds since 1970.
    pub time: i64,
    /// The service that got it.
    pub service: Service,
    /// The number of its connection; requests on one connection have the same.
    pub connection: u64,
    /// The HTTP method.
    pub method: String,
    /// The target with its query.
    pub target: String,
    /// The host it was sent to.
    pub host: String,
    /// Headers by lower-case name. `authorization` holds the scheme alone.
    pub headers: BTreeMap<String, String>,
    /// The tenant in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The requested client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The requested scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The claims of the assertion, or of the token of a request to Key Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
    /// The status of the answer; absent before the answer, and when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of Entra's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aadsts: Option<u32>,
}

/// Counts since the start or the last reset.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Connections accepted, by socket.
    pub connections: BTreeMap<Socket, u64>,
    /// Requests, by service.
    pub requests: BTreeMap<Service, u64>,
    /// Tokens issued by Entra and the token proxy.
    pub tokens: u64,
    /// Tokens of the node's identity issued by IMDS.
    pub node_tokens: u64,
}
