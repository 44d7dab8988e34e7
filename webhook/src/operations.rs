//! Health and metrics, for kubelet and Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use prometheus_client::registry::Registry;
use service_kit::metrics;
use service_kit::readiness::Readiness;
use tokio::sync::Mutex;

use crate::memory::{Bounds, Memory};

/// `/healthz` and `/readyz`. Liveness depends on nothing, because a restart does not repair a certificate.
pub fn health(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .with_state(Arc::new(readiness))
}

/// `/metrics`. In a large cluster its text has megabytes: the memory of clients that do not read it is
/// bounded.
pub fn metrics(registry: Registry) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(Arc::new(Metrics {
            memory: Arc::new(Memory::new(BOUNDS)),
            registry: Mutex::new(registry),
        }))
}

struct Metrics {
    memory: Arc<Memory>,
    /// Locked while a text is made, so that there is one at a time.
    registry: Mutex<Registry>,
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> Response {
    let missing = readiness.missing();
    if missing.is_empty() {
        "ok".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n")).into_response()
    }
}

async fn scrape(State(state): State<Arc<Metrics>>) -> Response {
    let registry = state.registry.lock().await;
    let text = match metrics::text(&registry) {
        Ok(text) => text,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    let answer = state.memory.share().hold(text.into_bytes());
    drop(registry);
    match answer {
        Ok(answer) => {
            let content_type = [(CONTENT_TYPE, metrics::CONTENT_TYPE)];
            (content_type, Body::new(answer)).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// Of texts that are not read to their end. One that is larger is passed on if it is alone.
const BOUNDS: Bounds = Bounds {
    held: 4 * 1024 * 1024,
    held_by_large: 4 * 1024 * 1024,
    turns: 0,
};

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;

    #[tokio::test]
    async fn a_scrape_that_is_not_read_makes_way_for_the_next() {
        let (mut registry, series) = (Registry::default(), Family::<_, Counter>::default());
        for nth in 0..30_000 {
            let labels = vec![("namespace", format!("{nth:0>63}"))];
            series.get_or_create(&labels).inc();
        }
        registry.register("reviews", "Reviews", series);
        let state = Arc::new(Metrics {
            memory: Arc::new(Memory::new(BOUNDS)),
            registry: Mutex::new(registry),
        });
        let mut answers = Vec::new();
        for _ in 0..3 {
            let answer = scrape(State(Arc::clone(&state))).await;
            assert_eq!(answer.status(), StatusCode::OK);
            answers.push(answer.into_body());
        }
        let last = answers.pop().unwrap().collect().await.unwrap().to_bytes();
        assert!(last.ends_with(b"# EOF\n"));
        for answer in answers {
            assert!(answer.collect().await.is_err(), "it is still in memory");
        }
    }
}
