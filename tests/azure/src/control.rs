//! The control API: JSON over plain HTTP, for tests and `curl`. It is described in README.md.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::lock;
use crate::model::{
    Application, Counters, FederatedCredential, Issuer, Record, Resource, Service, Socket, Tenant,
    Vault,
};
use crate::registry::{Registry, RegistryError};
use crate::rule::{Rule, RuleState};
use crate::state::State;
use crate::storage::Websites;

type Emulator = Shared<Arc<State>>;

/// The longest wait of `GET /requests`.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The routes.
pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/readyz", get(async || "ok"))
        .route("/ca.pem", get(ca))
        .route("/registry", get(registry))
        .route("/reset", post(reset))
        .route("/tenants", post(add_tenant))
        .route("/tenants/{id}", delete(remove_tenant))
        .route("/applications", post(add_application))
        .route("/applications/{client_id}", delete(remove_application))
        .route(
            "/applications/{client_id}/federated-credentials",
            post(add_credential),
        )
        .route(
            "/applications/{client_id}/federated-credentials/{name}",
            delete(remove_credential),
        )
        .route("/issuers", post(add_issuer))
        .route("/resources", post(add_resource))
        .route("/vaults", post(add_vault))
        .route("/vaults/{vault}/secrets/{name}", put(set_secret))
        .route(
            "/websites/{account}",
            put(enable_website).delete(remove_website),
        )
        .route(
            "/websites/{account}/{*path}",
            put(put_file).delete(remove_file),
        )
        .route("/requests", get(requests).delete(forget_requests))
        .route("/counters", get(counters))
        .route("/rules", get(rules).post(add_rule).delete(clear_rules))
        .route("/rules/{id}", delete(remove_rule))
        .route("/sockets/{socket}", put(set_socket))
        .with_state(state)
}

/// A refused control request, with the reason as text.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        let status = match error {
            RegistryError::TooManyCredentials(_)
            | RegistryError::SameCredential { .. }
            | RegistryError::NoKeys(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::NOT_FOUND,
        };
        Self(status, error.to_string())
    }
}

async fn ca(Shared(state): Emulator) -> String {
    state.ca_pem.clone()
}

async fn registry(Shared(state): Emulator) -> Json<Registry> {
    Json(lock(&state.registry).clone())
}

async fn reset(Shared(state): Emulator) {
    *lock(&state.registry) = Registry::default();
    *lock(&state.websites) = Websites::default();
    lock(&state.rules).clear();
    state.keys.clear();
    state.log.clear();
}

async fn add_tenant(Shared(state): Emulator, Json(tenant): Json<Tenant>) {
    lock(&state.registry).add_tenant(tenant);
}

async fn remove_tenant(Shared(state): Emulator, Path(id): Path<String>) -> Result<(), Refused> {
    Ok(lock(&state.registry).remove_tenant(&id)?)
}

async fn add_application(
    Shared(state): Emulator,
    Json(application): Json<Application>,
) -> Result<(), Refused> {
    Ok(lock(&state.registry).add_application(application)?)
}

async fn remove_application(
    Shared(state): Emulator,
    Path(client_id): Path<String>,
) -> Result<(), Refused> {
    Ok(lock(&state.registry).remove_application(&client_id)?)
}

async fn add_credential(
    Shared(state): Emulator,
    Path(client_id): Path<String>,
    Json(credential): Json<FederatedCredential>,
) -> Result<(), Refused> {
    Ok(lock(&state.registry).add_credential(&client_id, credential)?)
}

async fn remove_credential(
    Shared(state): Emulator,
    Path((client_id, name)): Path<(String, String)>,
) -> Result<(), Refused> {
    Ok(lock(&state.registry).remove_credential(&client_id, &name)?)
}

async fn add_issuer(Shared(state): Emulator, Json(issuer): Json<Issuer>) -> Result<(), Refused> {
    Ok(lock(&state.registry).add_issuer(issuer)?)
}

async fn add_resource(Shared(state): Emulator, Json(resource): Json<Resource>) {
    lock(&state.registry).add_resource(resource);
}

async fn add_vault(Shared(state): Emulator, Json(vault): Json<Vault>) -> Result<(), Refused> {
    Ok(lock(&state.registry).add_vault(vault)?)
}

/// The value of a secret.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secret {
    pub(crate) value: String,
}

async fn set_secret(
    Shared(state): Emulator,
    Path((vault, name)): Path<(String, String)>,
    Json(secret): Json<Secret>,
) -> Result<(), Refused> {
    Ok(lock(&state.registry).set_secret(&vault, &name, secret.value)?)
}

async fn enable_website(Shared(state): Emulator, Path(account): Path<String>) {
    lock(&state.websites).enable(&account);
}

async fn remove_website(
    Shared(state): Emulator,
    Path(account): Path<String>,
) -> Result<(), Refused> {
    found(lock(&state.websites).remove(&account, None), &account)
}

async fn put_file(
    Shared(state): Emulator,
    Path((account, path)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<(), Refused> {
    let content_type = headers.get(CONTENT_TYPE).cloned();
    let written = lock(&state.websites).put(&account, &path, content_type, bytes);
    found(written, &account)
}

async fn remove_file(
    Shared(state): Emulator,
    Path((account, path)): Path<(String, String)>,
) -> Result<(), Refused> {
    let removed = lock(&state.websites).remove(&account, Some(&path));
    found(removed, &format!("{account}/{path}"))
}

fn found(is_found: bool, what: &str) -> Result<(), Refused> {
    is_found.then_some(()).ok_or_else(|| {
        Refused(
            StatusCode::NOT_FOUND,
            format!("no static website {what}: turn it on with PUT /websites/ACCOUNT first"),
        )
    })
}

/// Selects requests, and says how many to wait for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    service: Option<Service>,
    #[serde(default)]
    at_least: usize,
}

async fn requests(
    Shared(state): Emulator,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<Record>>, Refused> {
    let records = state.log.wait(wanted.service, wanted.at_least);
    tokio::time::timeout(MAX_WAIT, records)
        .await
        .map(Json)
        .map_err(|_| {
            Refused(
                StatusCode::REQUEST_TIMEOUT,
                format!("there were no {} requests in time", wanted.at_least),
            )
        })
}

async fn forget_requests(Shared(state): Emulator) {
    state.log.clear();
}

async fn counters(Shared(state): Emulator) -> Json<Counters> {
    Json(state.log.counters())
}

async fn rules(Shared(state): Emulator) -> Json<Vec<RuleState>> {
    Json(lock(&state.rules).all().to_vec())
}

/// The number of a rule.
#[derive(Deserialize, Serialize)]
pub(crate) struct RuleId {
    pub(crate) id: u64,
}

async fn add_rule(
    Shared(state): Emulator,
    Json(rule): Json<Rule>,
) -> Result<Json<RuleId>, Refused> {
    check(&rule).map_err(|problem| Refused(StatusCode::BAD_REQUEST, problem))?;
    let id = lock(&state.rules).add(rule);
    Ok(Json(RuleId { id }))
}

/// Checks that a rule's answer is valid HTTP.
fn check(rule: &Rule) -> Result<(), String> {
    let Some(respond) = &rule.respond else {
        return Ok(());
    };
    StatusCode::from_u16(respond.status)
        .map_err(|_| format!("{} is no HTTP status", respond.status))?;
    for (name, value) in &respond.headers {
        name.parse::<HeaderName>()
            .map_err(|_| format!("{name:?} is no header name"))?;
        value
            .parse::<HeaderValue>()
            .map_err(|_| format!("{value:?} is no header value"))?;
    }
    Ok(())
}

async fn clear_rules(Shared(state): Emulator) {
    lock(&state.rules).clear();
}

async fn remove_rule(Shared(state): Emulator, Path(id): Path<u64>) -> Result<(), Refused> {
    if lock(&state.rules).remove(id) {
        Ok(())
    } else {
        Err(Refused(StatusCode::NOT_FOUND, format!("no rule {id}")))
    }
}

/// Whether a socket listens.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listening {
    pub(crate) listening: bool,
}

/// Closes or opens a socket, and answers when it is done.
async fn set_socket(
    Shared(state): Emulator,
    Path(socket): Path<Socket>,
    Json(wanted): Json<Listening>,
) -> Result<(), Refused> {
    let switch = state.sockets.get(&socket).ok_or_else(|| {
        Refused(
            StatusCode::NOT_FOUND,
            format!("the emulator was started without {socket:?}"),
        )
    })?;
    switch.wanted.send_replace(wanted.listening);
    let mut open = switch.open.clone();
    let done = open.wait_for(|open| *open == wanted.listening).await;
    done.map(drop).map_err(|_| {
        Refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{socket:?} cannot listen again: its address is taken"),
        )
    })
}
