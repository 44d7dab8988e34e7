//! `POST /mutate-v1-pod` and `POST /mutate-v1-pod/environment`: the HTTP around a review.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::Admission;
use super::body::{self, ReviewBody};
use super::error::Refusal;
use crate::inject::PodSecurity;
use crate::memory::SMALL;

/// The path that the webhook configuration names.
pub const PATH: &str = "/mutate-v1-pod";

/// The path of the entry for namespaces whose Pod Security level refuses NET_ADMIN. The API server says
/// nothing else about a namespace.
pub const RESTRICTED_PATH: &str = "/mutate-v1-pod/environment";

/// The routes.
pub fn router(admission: Arc<Admission>) -> Router {
    Router::new()
        .route(PATH, post(handle))
        .route(RESTRICTED_PATH, post(handle_restricted))
        .with_state(admission)
}

async fn handle(State(admission): State<Arc<Admission>>, request: Request<Body>) -> Response {
    respond(&admission, request, PodSecurity::Unknown).await
}

async fn handle_restricted(
    State(admission): State<Arc<Admission>>,
    request: Request<Body>,
) -> Response {
    respond(&admission, request, PodSecurity::RefusesNetAdmin).await
}

async fn respond(admission: &Admission, request: Request<Body>, security: PodSecurity) -> Response {
    match answer(admission, request, security).await {
        Ok(answer) => {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], answer).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(
    admission: &Admission,
    request: Request<Body>,
    security: PodSecurity,
) -> Result<Body, Refusal> {
    if !is_json(&request) {
        return Err(Refusal::MediaType);
    }
    let ReviewBody { bytes, share } = body::read(request.into_body(), &admission.memory).await?;
    let answer = admission.review(&bytes, share.as_ref(), security).await?;
    drop(bytes);
    if answer.capacity() <= SMALL {
        return Ok(answer.into());
    }
    let share = share.unwrap_or_else(|| admission.memory.share());
    Ok(Body::new(share.hold(answer)?))
}

fn is_json(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    let text = content_type.and_then(|value| value.to_str().ok());
    let media_type = text.unwrap_or_default().split(';').next();
    let media_type = media_type.unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}
