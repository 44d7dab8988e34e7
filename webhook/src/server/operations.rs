//! Health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use tokio::sync::watch;

use super::admission::Admission;
use super::phase::Phase;
use crate::certificate::Serving;

/// What readiness depends on. Liveness depends on nothing: ending a process does not mend a
/// certificate.
pub struct Readiness {
    /// The service accounts.
    pub admission: Arc<Admission>,
    /// The certificate.
    pub serving: Arc<Serving>,
    /// Whether the process is ending.
    pub phase: watch::Receiver<Phase>,
}

impl Readiness {
    /// What is missing, for the operator.
    fn missing(&self) -> Vec<&'static str> {
        [
            (
                *self.phase.borrow() == Phase::Serving,
                "the webhook is ending",
            ),
            (
                self.serving.is_ready(),
                "the API server does not trust the serving certificate yet",
            ),
            (
                self.admission.accounts.are_ready(),
                "service accounts are not listed yet",
            ),
        ]
        .into_iter()
        .filter_map(|(is_fulfilled, reason)| (!is_fulfilled).then_some(reason))
        .collect()
    }
}

/// `/healthz` and `/readyz`.
pub fn health(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

/// `/metrics`.
pub fn metrics(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> impl IntoResponse {
    let missing = readiness.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n"))
    }
}

async fn scrape(State(readiness): State<Arc<Readiness>>) -> impl IntoResponse {
    let metrics = &readiness.admission.metrics;
    let text = metrics.text(&readiness.admission.accounts, &readiness.serving);
    match text {
        Ok(text) => (StatusCode::OK, [(CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
