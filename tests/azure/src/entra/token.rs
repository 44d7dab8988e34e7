//! The token endpoint.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::assertion;
use super::form::Form;
use super::refusal::Refusal;
use crate::clock;
use crate::jwt::Jwt;
use crate::keys::KeysError;
use crate::lock;
use crate::message::{Orders, Request};
use crate::model::{Application, Kind, Tenant};
use crate::registry::same_cloud;
use crate::state::State;

/// The way of a request to the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Straight to Entra's host.
    Direct,
    /// Through the token proxy of AKS identity bindings.
    TokenProxy,
}

/// Answers a token request: checks it as Entra does and issues the token.
pub(super) async fn answer(
    state: &State,
    request: &Request,
    tenant: &str,
    route: Route,
    orders: Orders,
) -> Result<Value, Refusal> {
    let form = Form::parse(request);
    if let Some(code) = orders.aadsts {
        return Err(injected(code, &form, tenant));
    }
    let wanted = form.token_request(&request.method)?;
    let tenant = find_tenant(state, request, tenant)?;
    let application = lock(&state.registry)
        .application(wanted.client_id)
        .filter(|application| application.tenant.eq_ignore_ascii_case(&tenant.id))
        .cloned()
        .ok_or_else(|| Refusal::Application {
            client_id: wanted.client_id.to_owned(),
            tenant: tenant.id.clone(),
        })?;

    let jwt = Jwt::parse(wanted.assertion).map_err(|_| Refusal::Malformed)?;
    let presented = assertion::read(&jwt)?;
    assertion::match_credential(&presented, &application, route)?;
    let source = state.keys_of(presented.issuer);
    let source = source.ok_or(Refusal::IssuerUnreachable)?;
    let key = state.keys.find(&source, presented.key_id).await;
    let key = key.map_err(|error| match error {
        KeysError::Fetch { .. } => Refusal::IssuerUnreachable,
        KeysError::Parse { .. } => Refusal::IssuerKeys,
    })?;
    assertion::verify(&jwt, &presented, key.as_ref())?;
    let now = clock::now() + orders.token.clock_skew_seconds.unwrap_or(0);
    assertion::check_time(&jwt, now)?;

    if !lock(&state.registry).knows_resource(wanted.resource) {
        return Err(Refusal::Resource {
            resource: wanted.resource.to_owned(),
            tenant: tenant.id.clone(),
        });
    }
    let lifetime = match application.kind {
        Kind::Application => 3_599,
        Kind::ManagedIdentity => 86_399,
    };
    let grant = Grant {
        tenant: &tenant.id,
        application: &application,
        resource: wanted.resource,
        lifetime_seconds: orders.token.lifetime_seconds.unwrap_or(lifetime),
        now,
    };
    let mut body = json!({
        "token_type": "Bearer",
        "expires_in": grant.lifetime_seconds,
        "ext_expires_in": grant.lifetime_seconds,
        "access_token": sign(&grant, orders)?,
    });
    if let (Some(refresh_in), Some(body)) = (orders.token.refresh_in, body.as_object_mut()) {
        body.insert("refresh_in".to_owned(), refresh_in.into());
    }
    Ok(body)
}

/// The tenant in a path, if the cloud of the request's host has it.
pub(super) fn find_tenant(
    state: &State,
    request: &Request,
    tenant: &str,
) -> Result<Tenant, Refusal> {
    let well_formed = !tenant.is_empty()
        && tenant
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    let is_domain = tenant.contains('.') || Uuid::parse_str(tenant).is_ok();
    if !well_formed || !is_domain {
        return Err(Refusal::TenantName(tenant.to_owned()));
    }
    lock(&state.registry)
        .tenant(tenant)
        .filter(|found| same_cloud(&request.host, &found.authority))
        .cloned()
        .ok_or_else(|| Refusal::Tenant(tenant.to_owned()))
}

/// The contents of a token to sign.
pub(crate) struct Grant<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) application: &'a Application,
    pub(crate) resource: &'a str,
    pub(crate) lifetime_seconds: i64,
    pub(crate) now: i64,
}

/// Signs the access token of a grant, with the claims of Entra's tokens of version 1.
pub(crate) fn sign(grant: &Grant<'_>, orders: Orders) -> Result<String, SignFailure> {
    let issuer = format!("https://sts.windows.net/{}/", grant.tenant);
    let application = grant.application;
    let unique = || Uuid::new_v4().simple().to_string();
    let mut claims = json!({
        "aud": grant.resource,
        "iss": issuer,
        // Entra backdates its tokens, for clocks that are late.
        "iat": grant.now - 300,
        "nbf": grant.now - 300,
        "exp": grant.now + grant.lifetime_seconds + 1,
        "aio": unique(),
        "appid": application.client_id,
        "appidacr": "2",
        "idp": issuer,
        "idtyp": "app",
        "oid": application.object_id,
        "rh": format!("1.{}.", unique()),
        "sub": application.object_id,
        "tid": grant.tenant,
        "uti": unique(),
        "ver": "1.0",
    });
    if let Some(claims) = claims.as_object_mut() {
        if application.kind == Kind::ManagedIdentity {
            let path = format!(
                "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/emulator\
                 /providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}",
                application.name
            );
            claims.insert("xms_mirid".to_owned(), path.into());
        }
        if let Some(bytes) = orders.token.padding_bytes {
            claims.insert("padding".to_owned(), "x".repeat(bytes).into());
        }
    }
    orders.key.sign(&claims).map_err(|_| SignFailure)
}

/// Signing failed.
#[derive(Debug)]
pub(crate) struct SignFailure;

impl From<SignFailure> for Refusal {
    fn from(_: SignFailure) -> Self {
        Self::Listed {
            code: 90_033,
            status: 503,
            error: "temporarily_unavailable",
            text: "A transient error has occurred. Please try again.".to_owned(),
        }
    }
}

/// The error of a rule, with Entra's text and the values of the request.
fn injected(code: u32, form: &Form, tenant: &str) -> Refusal {
    let parsed = form
        .token_request(&Method::POST)
        .ok()
        .map(|wanted| (wanted, Jwt::parse(wanted_assertion(form)).ok()));
    let claim = |name: &str| {
        let jwt = parsed.as_ref().and_then(|(_, jwt)| jwt.as_ref());
        jwt.and_then(|jwt| match name {
            "aud" => jwt.audiences().first().map(ToString::to_string),
            _ => jwt.text(name).map(str::to_owned),
        })
        .unwrap_or_default()
    };
    let client_id = form.get("client_id").unwrap_or_default().to_owned();
    let listed = |status, error, text: &str| Refusal::Listed {
        code,
        status,
        error,
        text: text.to_owned(),
    };
    match code {
        70_021 => Refusal::NoCredential {
            issuer: claim("iss"),
            subject: claim("sub"),
            audience: claim("aud"),
        },
        700_211 => Refusal::Issuer(claim("iss")),
        700_212 => Refusal::Audience(claim("aud")),
        700_213 => Refusal::Subject(claim("sub")),
        700_016 => Refusal::Application {
            client_id,
            tenant: tenant.to_owned(),
        },
        90_002 => Refusal::Tenant(tenant.to_owned()),
        90_061 => Refusal::IssuerUnreachable,
        700_024 => Refusal::Time {
            now: clock::now(),
            from: 0,
            until: clock::now() - 3_600,
        },
        700_027 => Refusal::KeyNotFound("unknown".to_owned()),
        500_011 => Refusal::Resource {
            resource: parsed
                .as_ref()
                .map(|(wanted, _)| wanted.resource.to_owned())
                .unwrap_or_default(),
            tenant: tenant.to_owned(),
        },
        90_033 => SignFailure.into(),
        90_055 => listed(
            429,
            "temporarily_unavailable",
            "The tenant has exceeded its number of requests and is throttled.",
        ),
        50_196 => listed(
            400,
            "invalid_request",
            "The server terminated an operation because it encountered a client request loop. \
             Please contact your app vendor.",
        ),
        53_003 => listed(
            400,
            "invalid_grant",
            "Access has been blocked by Conditional Access policies. The access policy does not \
             allow token issuance.",
        ),
        7_000_112 => listed(
            400,
            "unauthorized_client",
            &format!("Application '{client_id}' is disabled."),
        ),
        _ => listed(400, "invalid_request", "The request is refused."),
    }
}

fn wanted_assertion(form: &Form) -> &str {
    form.get("client_assertion").unwrap_or_default()
}
