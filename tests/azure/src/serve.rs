//! Serves one request: reads and logs it, applies the rules, and passes it to its service.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use crate::message::{Answer, Details, Orders, Request, content};
use crate::model::{Record, Service, Socket};
use crate::rule::{self, ConnectionFault, Respond, Subject};
use crate::socket::{Abort, HalfBody};
use crate::state::{State, signing_key};
use crate::{clock, entra, imds, key_vault, lock, storage};

/// The largest request body that is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Hosts of vaults end in one of these.
const VAULT_SUFFIXES: [&str; 3] = [
    ".vault.azure.net",
    ".vault.usgovcloudapi.net",
    ".vault.azure.cn",
];

/// Answers a request, or breaks its connection when a rule says so.
pub(crate) async fn serve(
    state: Arc<State>,
    socket: Socket,
    connection: u64,
    abort: Arc<Abort>,
    request: http::Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let Some(request) = read(request).await else {
        let refusal = content(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "Too large");
        return Ok(refusal.map(whole));
    };
    let service = service(socket, &request.host);
    let details = match service {
        Service::Entra => entra::describe(&request),
        Service::TokenProxy => entra::describe_proxied(&request),
        Service::Imds => imds::describe(&request),
        Service::KeyVault => key_vault::describe(&request),
        Service::Storage => Details::default(),
    };
    let subject = Subject {
        service,
        path: &request.path,
        tenant: details.tenant.as_deref(),
        client_id: details.client_id.as_deref(),
        scope: details.scope.as_deref(),
    };
    let verdict = lock(&state.rules).judge(subject, Instant::now());
    let sequence = state
        .log
        .begin(record(service, connection, &request, details));

    if verdict.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(verdict.delay_ms)).await;
    }
    match verdict.connection {
        Some(ConnectionFault::Hang) => pending().await,
        Some(ConnectionFault::Reset) => {
            abort.reset();
            pending().await
        }
        Some(ConnectionFault::ResetMidBody) | None => {}
    }
    let answer = match verdict.answer {
        Some(rule::Answer::Respond(respond)) => prepared(&respond).into(),
        other => {
            let aadsts = match other {
                Some(rule::Answer::Aadsts(code)) => Some(code),
                _ => None,
            };
            match signing_key().await {
                Ok(key) => {
                    let orders = Orders {
                        key,
                        token: verdict.token,
                        aadsts,
                    };
                    dispatch(&state, service, &request, orders).await
                }
                Err(error) => content(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "text/plain",
                    error.to_string(),
                )
                .into(),
            }
        }
    };
    state
        .log
        .answered(sequence, answer.response.status().as_u16(), answer.aadsts);
    let mut response = answer.response;
    if verdict.connection == Some(ConnectionFault::ResetMidBody) {
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        return Ok(response.map(|body| HalfBody::of(&body, abort)));
    }
    Ok(response.map(whole))
}

async fn dispatch(state: &State, service: Service, request: &Request, orders: Orders) -> Answer {
    match service {
        Service::Entra => entra::answer(state, request, orders).await,
        Service::TokenProxy => entra::answer_proxied(state, request, orders).await,
        Service::Imds => imds::answer(state, request, orders).into(),
        Service::KeyVault => key_vault::answer(state, request, orders).into(),
        Service::Storage => lock(&state.websites).answer(request).into(),
    }
}

fn service(socket: Socket, host: &str) -> Service {
    match socket {
        Socket::Imds => Service::Imds,
        Socket::TokenProxy => Service::TokenProxy,
        Socket::Azure if VAULT_SUFFIXES.iter().any(|suffix| host.ends_with(suffix)) => {
            Service::KeyVault
        }
        Socket::Azure if host.ends_with(storage::SUFFIX) => Service::Storage,
        Socket::Azure => Service::Entra,
    }
}

async fn read(request: http::Request<Incoming>) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES)
        .collect()
        .await
        .ok()?
        .to_bytes();
    let host = parts
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<http::uri::Authority>().ok())
        .map(|host| host.host().to_ascii_lowercase())
        .unwrap_or_default();
    Some(Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        host,
    })
}

fn record(service: Service, connection: u64, request: &Request, details: Details) -> Record {
    let target = match request.query.as_str() {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    Record {
        sequence: 0,
        time: clock::now(),
        service,
        connection,
        method: request.method.to_string(),
        target,
        host: request.host.clone(),
        headers: request.loggable_headers(),
        tenant: details.tenant,
        client_id: details.client_id,
        scope: details.scope,
        claims: details.claims,
        status: None,
        aadsts: None,
    }
}

/// The answer that a rule prescribes. The control API has checked it.
fn prepared(respond: &Respond) -> Response<Bytes> {
    let mut body = respond.body.clone().into_bytes();
    body.resize(body.len() + respond.padding_bytes, b' ');
    let mut response = Response::new(Bytes::from(body));
    if let Ok(status) = StatusCode::from_u16(respond.status) {
        *response.status_mut() = status;
    }
    for (name, value) in &respond.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn whole(body: Bytes) -> BoxBody<Bytes, Infallible> {
    Full::new(body).boxed()
}
