//! The IMDS of the node. Its tokens are the node's own: a pod that gets one has escaped. It has the
//! original's rules: `Metadata: true` is required, `X-Forwarded-For` is refused, and every value of a
//! token answer is a string.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::clock;
use crate::entra::{Grant, sign_token};
use crate::lock;
use crate::message::{Details, Orders, Request, add_headers, content, json};
use crate::model::{Application, Kind, Service};
use crate::state::State;

/// The client id of the node's identity, in each of its tokens as `appid`.
pub const NODE_CLIENT_ID: &str = "99999999-0000-0000-0000-000000000000";

/// The name of the node's identity, in each of its tokens in `xms_mirid`.
pub const NODE_NAME: &str = "NODE-IDENTITY";

/// The tenant of the node's identity.
const NODE_TENANT: &str = "99999999-0000-0000-0000-00000000000a";

const SELECTORS: [&str; 5] = [
    "client_id",
    "object_id",
    "msi_res_id",
    "mi_res_id",
    "msi-res-id",
];

const VERSIONS: [&str; 7] = [
    "2017-04-02",
    "2018-02-01",
    "2019-08-01",
    "2020-06-01",
    "2020-10-01",
    "2021-02-01",
    "2023-07-01",
];

/// The answer to a request with `X-Forwarded-For`: IMDS refuses forwarded requests.
const FORWARDED: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <Error xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
    xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\n    \
    <Code>InvalidHeaderValue</Code>\n    \
    <Message>The value provided for one of the HTTP headers was not in the correct format.</Message>\n    \
    <Details>Header contains 'X-Forwarded-For' are not supported.</Details>\n</Error>";

/// The details of a request, for the log and the rules.
pub(crate) fn describe(request: &Request) -> Details {
    Details {
        client_id: request.query("client_id"),
        scope: request.query("resource"),
        ..Details::default()
    }
}

/// Answers a request to 169.254.169.254:80.
pub(crate) fn answer(state: &State, request: &Request, orders: Orders) -> Response<Bytes> {
    let mut response = route(state, request, orders);
    add_headers(&mut response, &[("server", "IMDS/150.870.65.1854")]);
    response
}

fn route(state: &State, request: &Request, orders: Orders) -> Response<Bytes> {
    let segments = request.segments();
    let Some(("metadata", rest)) = segments
        .split_first()
        .map(|(first, rest)| (first.to_ascii_lowercase(), rest))
        .as_ref()
        .map(|(first, rest)| (first.as_str(), *rest))
    else {
        return not_found();
    };
    if request.headers.contains_key("x-forwarded-for") {
        return content(
            StatusCode::BAD_REQUEST,
            "text/xml; charset=utf-8",
            FORWARDED,
        );
    }
    match rest {
        ["identity", "oauth2", "token"] | ["identity", "oauth2", "token", ""] => {
            with_metadata(request, || token(state, request, orders))
        }
        ["identity", "info"] => with_metadata(request, || ok(&json!({ "tenantId": NODE_TENANT }))),
        ["identity", "getplatformmetadata"] => with_metadata(request, || {
            ok(&json!({
                "clientId": NODE_CLIENT_ID,
                "tenantId": NODE_TENANT,
                "cuId": { "vmId": "99999999-0000-0000-0000-0000000000ff" },
                "attestationEndpoint": "https://sharedeus.eus.attest.azure.net",
            }))
        }),
        ["versions"] => with_metadata(request, || ok(&json!({ "apiVersions": VERSIONS }))),
        ["instance", path @ ..] => with_metadata(request, || instance(request, path)),
        ["attested", "document"] => with_metadata(request, || {
            let nonce = request.query("nonce").unwrap_or_default();
            versioned(request, || {
                ok(&json!({ "encoding": "pkcs7", "signature": format!("EMULATOR{nonce}") }))
            })
        }),
        ["scheduledevents"] => scheduled_events(request),
        _ => with_metadata(request, not_found),
    }
}

/// Refuses anything but GET, and requests without the header `Metadata: true`.
fn with_metadata(request: &Request, answer: impl FnOnce() -> Response<Bytes>) -> Response<Bytes> {
    if request.method != Method::GET {
        return failure(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Only GET requests are supported",
        );
    }
    if request.header("metadata") != Some("true") {
        return failure(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Required metadata header not specified",
        );
    }
    answer()
}

fn token(state: &State, request: &Request, orders: Orders) -> Response<Bytes> {
    let invalid = |text: &str| failure(StatusCode::BAD_REQUEST, "invalid_request", text);
    if request.query("api-version").is_none() {
        return invalid("Required query variable 'api-version' is missing");
    }
    let Some(resource) = request
        .query("resource")
        .filter(|resource| !resource.is_empty())
    else {
        return invalid("Required query variable 'resource' is missing");
    };
    let selectors: Vec<String> = SELECTORS
        .iter()
        .filter_map(|name| request.query(name))
        .collect();
    match selectors.as_slice() {
        [] => {}
        [one] if one.eq_ignore_ascii_case(NODE_CLIENT_ID) => {}
        [_] => return invalid("Identity not found"),
        _ => return invalid("client_id, object_id and msi_res_id are mutually exclusive"),
    }
    if !lock(&state.registry).knows_resource(&resource) {
        return failure(
            StatusCode::BAD_REQUEST,
            "invalid_resource",
            &format!(
                "AADSTS500011: The resource principal named {resource} was not found in the \
                 tenant named {NODE_TENANT}."
            ),
        );
    }
    let lifetime = orders.token.lifetime_seconds.unwrap_or(86_399);
    let now = clock::now() + orders.token.clock_skew_seconds.unwrap_or(0);
    let node = Application {
        client_id: NODE_CLIENT_ID.to_owned(),
        object_id: NODE_CLIENT_ID.to_owned(),
        name: NODE_NAME.to_owned(),
        kind: Kind::ManagedIdentity,
        ..Application::default()
    };
    let grant = Grant {
        tenant: NODE_TENANT,
        application: &node,
        resource: &resource,
        lifetime_seconds: lifetime,
        now,
    };
    let Ok(token) = sign_token(&grant, orders) else {
        return failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "No token",
        );
    };
    state.log.token_given(Service::Imds);
    ok(&json!({
        "access_token": token,
        "client_id": NODE_CLIENT_ID,
        "expires_in": lifetime.to_string(),
        "expires_on": (now + lifetime).to_string(),
        "ext_expires_in": "86399",
        "not_before": (now - 300).to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
}

/// The description of the virtual machine, or a part of it. A leaf needs `format=text`.
fn instance(request: &Request, path: &[&str]) -> Response<Bytes> {
    versioned(request, || {
        let document = json!({
            "compute": {
                "azEnvironment": "AzurePublicCloud",
                "location": "westeurope",
                "name": "emulated-node",
                "osType": "Linux",
                "provider": "Microsoft.Compute",
                "resourceGroupName": "emulator",
                "subscriptionId": "00000000-0000-0000-0000-000000000001",
                "vmId": "99999999-0000-0000-0000-0000000000ff",
                "vmSize": "Standard_D2s_v5",
                "zone": "1",
            },
            "network": { "interface": [{ "macAddress": "000D3A000001" }] },
        });
        let mut part = &document;
        for name in path.iter().filter(|name| !name.is_empty()) {
            let inner = name
                .parse::<usize>()
                .ok()
                .and_then(|index| part.get(index))
                .or_else(|| part.get(name));
            match inner {
                Some(inner) => part = inner,
                None => return not_found(),
            }
        }
        let as_text = request.query("format").as_deref() == Some("text");
        match (part, as_text) {
            (Value::String(leaf), true) => {
                content(StatusCode::OK, "text/plain; charset=utf-8", leaf.clone())
            }
            (Value::Object(keys), true) => content(
                StatusCode::OK,
                "text/plain; charset=utf-8",
                keys.keys()
                    .map(|key| format!("{key}/"))
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            (Value::String(_), false) => bad_request(
                "Bad request. Leaf nodes are given with format=text alone. For more information \
                 refer to aka.ms/azureimds",
            ),
            (part, _) => ok(part),
        }
    })
}

/// The scheduled events of the virtual machine. A POST starts one early.
fn scheduled_events(request: &Request) -> Response<Bytes> {
    if request.method != Method::POST {
        return with_metadata(request, || {
            versioned(request, || {
                ok(&json!({ "DocumentIncarnation": 1, "Events": [] }))
            })
        });
    }
    if request.header("metadata") != Some("true") {
        return bad_request("Bad request. Required metadata header not specified");
    }
    let starts = serde_json::from_slice::<Value>(&request.body)
        .is_ok_and(|body| body.get("StartRequests").is_some_and(Value::is_array));
    if starts {
        content(StatusCode::OK, "application/json; charset=utf-8", "")
    } else {
        bad_request("Bad request. StartRequests is missing")
    }
}

/// Refuses requests without a known `api-version`.
fn versioned(request: &Request, answer: impl FnOnce() -> Response<Bytes>) -> Response<Bytes> {
    match request.query("api-version") {
        Some(version) if is_date(&version) => answer(),
        Some(_) => bad_request(
            "Bad request. api-version is invalid or was not specified in the request. For more \
             information refer to aka.ms/azureimds",
        ),
        None => bad_request(
            "Bad request. api-version was not specified in the request. For more information \
             refer to aka.ms/azureimds",
        ),
    }
}

/// Versions are dates; the original accepts each that it ever had.
fn is_date(version: &str) -> bool {
    version.len() == 10
        && version
            .bytes()
            .enumerate()
            .all(|(index, byte)| match index {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
}

fn bad_request(error: &str) -> Response<Bytes> {
    let newest: Vec<&str> = VERSIONS.into_iter().rev().take(3).collect();
    json(
        StatusCode::BAD_REQUEST,
        &json!({ "error": error, "newest-versions": newest }),
    )
}

fn not_found() -> Response<Bytes> {
    failure(
        StatusCode::NOT_FOUND,
        "not_found",
        "The requested path was not found",
    )
}

fn failure(status: StatusCode, error: &str, description: &str) -> Response<Bytes> {
    json(
        status,
        &json!({ "error": error, "error_description": description }),
    )
}

fn ok(body: &Value) -> Response<Bytes> {
    json(StatusCode::OK, body)
}
