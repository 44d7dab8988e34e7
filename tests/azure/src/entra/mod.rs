//! Entra: the token endpoint for federated clients, and the discovery documents.

mod assertion;
mod discovery;
mod form;
mod refusal;
mod token;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::jwt::Jwt;
use crate::message::{Answer, Details, Orders, Request, add_header, add_headers, content, json};
use crate::model::Service;
use crate::state::State;

pub(crate) use token::{Grant, sign as sign_token};

use form::Form;
use refusal::Refusal;
use token::Route;

/// The audience of federated tokens in the public cloud.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";

/// The audience that AKS's token proxy accepts and Entra refuses.
pub const BINDING_AUDIENCE: &str = "api://AKSIdentityBinding";

/// The prefix of Entra's paths at the token proxy.
pub const TOKEN_PROXY_BASE: &str = "/base";

/// The details of a request to Entra, for the log and the rules.
pub(crate) fn describe(request: &Request) -> Details {
    let form = Form::parse(request);
    let claims = form
        .get("client_assertion")
        .and_then(|assertion| Jwt::parse(assertion).ok())
        .map(|jwt| jwt.claims);
    Details {
        tenant: request
            .segments()
            .first()
            .filter(|tenant| !tenant.is_empty())
            .map(ToString::to_string),
        client_id: form.get("client_id").map(str::to_owned),
        scope: form.get("scope").map(str::to_owned),
        claims,
    }
}

/// The details of a request to the token proxy, for the log and the rules.
pub(crate) fn describe_proxied(request: &Request) -> Details {
    let mut details = describe(request);
    details.tenant = request.segments().get(1).map(ToString::to_string);
    details
}

/// Answers a request to a login service's host.
pub(crate) async fn answer(state: &State, request: &Request, orders: Orders) -> Answer {
    let segments = request.segments();
    let result = match segments.as_slice() {
        ["common", "discovery", "instance"] => discovery::instance(request),
        [tenant, "oauth2", "v2.0", "token"] => {
            token::answer(state, request, tenant, Route::Direct, orders)
                .await
                .inspect(|_| state.log.token_given(Service::Entra))
        }
        [tenant, "v2.0", ".well-known", "openid-configuration"] => {
            discovery::configuration(state, request, tenant, 2)
        }
        [tenant, ".well-known", "openid-configuration"] => {
            discovery::configuration(state, request, tenant, 1)
        }
        [tenant, "discovery", "v2.0", "keys"] | [tenant, "discovery", "keys"] => {
            discovery::keys(state, request, tenant, orders)
        }
        _ => return not_found().into(),
    };
    finish(request, result)
}

/// Answers a request to the token proxy of AKS identity bindings: Entra's token endpoint under
/// [`TOKEN_PROXY_BASE`], for tokens of the audience [`BINDING_AUDIENCE`].
pub(crate) async fn answer_proxied(state: &State, request: &Request, orders: Orders) -> Answer {
    let segments = request.segments();
    let result = match segments.as_slice() {
        ["base", tenant, "oauth2", "v2.0", "token"] => {
            token::answer(state, request, tenant, Route::TokenProxy, orders)
                .await
                .inspect(|_| state.log.token_given(Service::TokenProxy))
        }
        [
            "base",
            tenant,
            "v2.0",
            ".well-known",
            "openid-configuration",
        ] => discovery::configuration(state, request, tenant, 2),
        ["base", "common", "discovery", "instance"] => discovery::instance(request),
        _ => return not_found().into(),
    };
    finish(request, result)
}

fn finish(request: &Request, result: Result<Value, Refusal>) -> Answer {
    let correlation_id = request
        .header("client-request-id")
        .and_then(|id| Uuid::parse_str(id).ok())
        .unwrap_or_else(Uuid::new_v4);
    let trace_id = Uuid::new_v4();
    let (mut response, aadsts) = match result {
        Ok(body) => (json(StatusCode::OK, &body), None),
        Err(refusal) => {
            let body = refusal.body(&trace_id, &correlation_id);
            (json(refusal.status(), &body), Some(refusal.code()))
        }
    };
    if aadsts.is_some_and(refusal::is_throttling) {
        add_header(&mut response, "retry-after", "60");
    }
    add_headers(
        &mut response,
        &[
            ("cache-control", "no-store, no-cache"),
            ("pragma", "no-cache"),
            ("expires", "-1"),
            (
                "strict-transport-security",
                "max-age=31536000; includeSubDomains",
            ),
            ("x-content-type-options", "nosniff"),
            ("x-ms-ests-server", "2.1.20000.0 - EMULATOR ProdSlices"),
        ],
    );
    add_header(&mut response, "x-ms-request-id", &trace_id.to_string());
    let wants_id = request
        .header("return-client-request-id")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if wants_id {
        add_header(
            &mut response,
            "client-request-id",
            &correlation_id.to_string(),
        );
    }
    Answer { response, aadsts }
}

fn not_found() -> Response<Bytes> {
    content(StatusCode::NOT_FOUND, "text/html", "")
}
