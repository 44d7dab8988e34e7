//! A stand-in for the API server: one service account, its watch, and no other object.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::serve;

/// The namespace of the service account.
pub const NAMESPACE: &str = "shop";
/// Its name.
pub const ACCOUNT: &str = "cart";
/// The client id in its annotations.
pub const CLIENT_ID: &str = "91be0000-1111-2222-3333-444455556666";

/// Listens on a free port of 127.0.0.1, and ends with the runtime.
///
/// # Panics
///
/// When there is no free port.
pub async fn start() -> SocketAddr {
    serve(Router::new().fallback(answer)).await
}

async fn answer(request: Request) -> Response {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    if path == "/version" {
        let mut version = json!({ "major": "1", "minor": "34", "gitVersion": "v1.34.2" });
        for name in [
            "buildDate",
            "compiler",
            "gitCommit",
            "gitTreeState",
            "goVersion",
            "platform",
        ] {
            version[name] = "".into();
        }
        return json_answer(StatusCode::OK, &version);
    }
    if path == "/api/v1/serviceaccounts" && query.contains("watch=true") {
        return watch(query.contains("sendInitialEvents=true"));
    }
    if path == "/api/v1/serviceaccounts" {
        let list = json!({
            "apiVersion": "v1", "kind": "ServiceAccountList", "metadata": { "resourceVersion": "1" },
            "items": [account()],
        });
        return json_answer(StatusCode::OK, &list);
    }
    if path == format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}") {
        return json_answer(StatusCode::OK, &account());
    }
    let missing = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "not found",
    });
    json_answer(StatusCode::NOT_FOUND, &missing)
}

/// A watch without end, and without further events.
fn watch(sends_all: bool) -> Response {
    let mut events = String::new();
    if sends_all {
        let end = json!({ "type": "BOOKMARK", "object": {
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "resourceVersion": "1", "annotations": { "k8s.io/initial-events-end": "true" } },
        } });
        events = format!(
            "{}\n{end}\n",
            json!({ "type": "ADDED", "object": account() })
        );
    }
    let events = stream::iter([Ok::<_, Infallible>(events)]).chain(stream::pending());
    Body::from_stream(events).into_response()
}

fn account() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": ACCOUNT, "namespace": NAMESPACE, "resourceVersion": "1",
            "annotations": { contract::annotation::CLIENT_ID: CLIENT_ID },
        },
    })
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    (
        status,
        [("content-type", "application/json")],
        value.to_string(),
    )
        .into_response()
}
