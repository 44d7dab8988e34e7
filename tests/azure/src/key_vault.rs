//! Key Vault: reading a secret with a token.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use crate::clock;
use crate::jwt::{Jwt, SigningKey};
use crate::lock;
use crate::message::{Details, Orders, Request, add_header, add_headers, json};
use crate::model::Vault;
use crate::state::State;

/// Key Vault's application id, which is an audience too.
const APPLICATION_ID: &str = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093";

/// How far a clock may be off, in seconds.
const SKEW_SECONDS: i64 = 300;

/// Why a request is refused, in Key Vault's words.
#[derive(Debug, Error, PartialEq)]
enum Refusal {
    #[error("AKV10000: Request is missing a Bearer or PoP token.")]
    NoToken,
    #[error("AKV10001: Error validating token: '{0}'.")]
    Token(&'static str),
    #[error("AKV10022: Invalid audience. Expected {expected}, found: {found}.")]
    Audience { expected: String, found: String },
    #[error("AKV10032: Invalid issuer. Expected one of {expected}, found {found}.")]
    Issuer { expected: String, found: String },
    #[error(
        "The user, group or application 'appid={appid};oid={oid};iss={issuer}' does not have \
         secrets get permission on key vault '{vault};location=westeurope'. For help resolving \
         this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"
    )]
    Forbidden {
        appid: String,
        oid: String,
        issuer: String,
        vault: String,
    },
    #[error(
        "A secret with (name/id) {0} was not found in this key vault. If you recently deleted this \
         secret you may be able to recover it using the correct recovery command. For help \
         resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
    )]
    NoSecret(String),
    #[error("api-version must be specified")]
    NoVersion,
    #[error("HTTP {0} not allowed.")]
    Method(Method),
    #[error("The resource at {0} does not exist.")]
    NoPath(String),
}

/// The details of a request, for the log and the rules.
pub(crate) fn describe(request: &Request) -> Details {
    let claims = request
        .bearer()
        .and_then(|token| Jwt::parse(token).ok())
        .map(|jwt| jwt.claims);
    Details {
        client_id: claims
            .as_ref()
            .and_then(|claims| Some(claims.get("appid")?.as_str()?.to_owned())),
        claims,
        ..Details::default()
    }
}

/// Answers a request to a vault's host.
pub(crate) fn answer(state: &State, request: &Request, orders: Orders) -> Response<Bytes> {
    let name = request.host.split('.').next().unwrap_or_default();
    let Some(place) = Place::find(state, name, &request.host) else {
        // With the original, DNS would have no such host.
        return json(
            StatusCode::NOT_FOUND,
            &error("VaultNotFound", "There is no vault of this name."),
        );
    };
    let mut response = match read(&place, orders.key, request, clock::now()) {
        Ok(secret) => json(StatusCode::OK, &secret),
        Err(refusal) => refused(&refusal, &place),
    };
    add_headers(
        &mut response,
        &[
            ("cache-control", "no-cache"),
            ("pragma", "no-cache"),
            ("expires", "-1"),
            ("x-ms-keyvault-region", "westeurope"),
            ("x-ms-keyvault-service-version", "1.9.0.0"),
            ("x-content-type-options", "nosniff"),
            (
                "strict-transport-security",
                "max-age=31536000;includeSubDomains",
            ),
        ],
    );
    add_header(
        &mut response,
        "x-ms-request-id",
        &Uuid::new_v4().to_string(),
    );
    response
}

/// A vault, with the audience and authority of its cloud.
struct Place {
    vault: Vault,
    /// The audience that it accepts. The same with a trailing slash is refused.
    audience: String,
    /// The login service of its tenant.
    authority: String,
}

impl Place {
    fn find(state: &State, name: &str, host: &str) -> Option<Self> {
        let registry = lock(&state.registry);
        let vault = registry.vault(name)?.clone();
        let authority = registry.tenant(&vault.tenant)?.authority.clone();
        let (_, domain) = host.split_once('.')?;
        Some(Self {
            vault,
            audience: format!("https://{domain}"),
            authority,
        })
    }
}

fn read(place: &Place, key: &SigningKey, request: &Request, now: i64) -> Result<Value, Refusal> {
    let vault = &place.vault;
    let caller = authenticate(place, key, request.bearer(), now)?;
    let segments = request.segments();
    let (name, version) = match segments.as_slice() {
        ["secrets", name] => (*name, ""),
        ["secrets", name, version] => (*name, *version),
        _ => return Err(Refusal::NoPath(request.path.clone())),
    };
    if request.method != Method::GET {
        return Err(Refusal::Method(request.method.clone()));
    }
    if request
        .query("api-version")
        .is_none_or(|version| version.is_empty())
    {
        return Err(Refusal::NoVersion);
    }
    let may_read = vault
        .readers
        .iter()
        .any(|id| id.eq_ignore_ascii_case(&caller.appid) || id.eq_ignore_ascii_case(&caller.oid));
    if !may_read {
        return Err(Refusal::Forbidden {
            appid: caller.appid,
            oid: caller.oid,
            issuer: caller.issuer,
            vault: vault.name.clone(),
        });
    }
    // Secrets have one version each, the same at every start.
    let only_version = Uuid::from_u128(1).simple().to_string();
    if !version.is_empty() && version != only_version {
        return Err(Refusal::NoSecret(format!("{name}/{version}")));
    }
    let value = vault
        .secrets
        .get(name)
        .ok_or_else(|| Refusal::NoSecret(name.to_owned()))?;
    Ok(json!({
        "value": value,
        "id": format!("https://{}/secrets/{name}/{only_version}", request.host),
        "attributes": {
            "enabled": true,
            "created": 1_700_000_000,
            "updated": 1_700_000_000,
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": 90,
        },
        "tags": {},
    }))
}

/// The identity in the request's token.
struct Caller {
    appid: String,
    oid: String,
    issuer: String,
}

fn authenticate(
    place: &Place,
    key: &SigningKey,
    token: Option<&str>,
    now: i64,
) -> Result<Caller, Refusal> {
    let token = token.ok_or(Refusal::NoToken)?;
    let jwt = Jwt::parse(token).map_err(|_| Refusal::Token("IDX12741"))?;
    let alg = jwt.header.get("alg").and_then(Value::as_str);
    if alg != Some("RS256") || !key.public().verifies(&jwt) {
        return Err(Refusal::Token("IDX10511"));
    }
    let audience = jwt.audiences().join(", ");
    if audience != place.audience && audience != APPLICATION_ID {
        return Err(Refusal::Audience {
            expected: place.audience.clone(),
            found: audience,
        });
    }
    let issuer = jwt.text("iss").unwrap_or_default().to_owned();
    let tenant = place.vault.tenant.as_str();
    let expected = format!("https://sts.windows.net/{tenant}/");
    if issuer != expected || jwt.text("tid") != Some(tenant) {
        return Err(Refusal::Issuer {
            expected,
            found: issuer,
        });
    }
    if jwt.time("exp").is_none_or(|exp| now >= exp + SKEW_SECONDS) {
        return Err(Refusal::Token("IDX10223"));
    }
    if jwt.time("nbf").is_none_or(|nbf| nbf > now + SKEW_SECONDS) {
        return Err(Refusal::Token("IDX10222"));
    }
    let claim = |name| jwt.text(name).unwrap_or_default().to_owned();
    Ok(Caller {
        appid: claim("appid"),
        oid: claim("oid"),
        issuer,
    })
}

fn refused(refusal: &Refusal, place: &Place) -> Response<Bytes> {
    let (status, code) = match refusal {
        Refusal::NoToken
        | Refusal::Token(_)
        | Refusal::Audience { .. }
        | Refusal::Issuer { .. } => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Refusal::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
        Refusal::NoSecret(_) => (StatusCode::NOT_FOUND, "SecretNotFound"),
        Refusal::NoVersion => (StatusCode::BAD_REQUEST, "BadParameter"),
        Refusal::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        Refusal::NoPath(_) => (StatusCode::NOT_FOUND, "NotFound"),
    };
    let mut body = error(code, &refusal.to_string());
    let inner = body.get_mut("error").and_then(Value::as_object_mut);
    if let (Refusal::Forbidden { .. }, Some(error)) = (refusal, inner) {
        error.insert("innererror".to_owned(), json!({ "code": "AccessDenied" }));
    }
    let mut response = json(status, &body);
    if status == StatusCode::UNAUTHORIZED {
        // SDKs read the tenant and the resource from this challenge.
        let challenge = format!(
            "Bearer authorization=\"https://{}/{}\", resource=\"{}\"",
            place.authority, place.vault.tenant, place.audience
        );
        add_header(&mut response, "www-authenticate", &challenge);
    }
    response
}

fn error(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}
