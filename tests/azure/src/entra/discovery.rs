//! The discovery documents: the directory's metadata and keys, and the list of clouds.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::token::find_tenant;
use crate::message::{Orders, Request};
use crate::state::State;

/// The metadata of a tenant, of the endpoints of version 1 or 2 (OpenID Connect Discovery 1.0).
pub(super) fn configuration(
    state: &State,
    request: &Request,
    tenant: &str,
    version: u8,
) -> Result<Value, Refusal> {
    let tenant = find_tenant(state, request, tenant)?.id;
    let base = format!("https://{}/{tenant}", authority(request));
    let (infix, keys, issuer) = if version == 2 {
        (
            "oauth2/v2.0",
            "discovery/v2.0/keys",
            format!("https://{}/{tenant}/v2.0", authority(request)),
        )
    } else {
        (
            "oauth2",
            "discovery/keys",
            format!("https://sts.windows.net/{tenant}/"),
        )
    };
    Ok(json!({
        "token_endpoint": format!("{base}/{infix}/token"),
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/{keys}"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "request_uri_parameter_supported": false,
        "authorization_endpoint": format!("{base}/{infix}/authorize"),
        "device_authorization_endpoint": format!("{base}/{infix}/devicecode"),
        "end_session_endpoint": format!("{base}/{infix}/logout"),
        "tenant_region_scope": "WW",
        "cloud_instance_name": "microsoftonline.com",
    }))
}

/// The keys that a tenant's tokens are signed with.
pub(super) fn keys(
    state: &State,
    request: &Request,
    tenant: &str,
    orders: Orders,
) -> Result<Value, Refusal> {
    if tenant != "common" {
        find_tenant(state, request, tenant)?;
    }
    let mut key = json!(orders.key.public());
    if let Some(key) = key.as_object_mut() {
        key.insert("use".to_owned(), "sig".into());
    }
    Ok(json!({ "keys": [key] }))
}

/// The clouds and their hosts, and where the directory of the authority asked about is described.
pub(super) fn instance(request: &Request) -> Result<Value, Refusal> {
    let endpoint = request
        .query("authorization_endpoint")
        .ok_or(Refusal::MissingField("authorization_endpoint"))?;
    if request.query("api-version").is_none() {
        return Err(Refusal::MissingField("api-version"));
    }
    let mut parts = endpoint
        .strip_prefix("https://")
        .ok_or(Refusal::Instance)?
        .split('/');
    let (Some(host), Some(tenant)) = (parts.next(), parts.next()) else {
        return Err(Refusal::Instance);
    };
    let cloud = |network: &str, cache: &str, aliases: &[&str]| json!({ "preferred_network": network, "preferred_cache": cache, "aliases": aliases });
    Ok(json!({
        "tenant_discovery_endpoint":
            format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [
            cloud("login.microsoftonline.com", "login.windows.net", &[
                "login.microsoftonline.com",
                "login.windows.net",
                "login.microsoft.com",
                "sts.windows.net",
            ]),
            cloud("login.partner.microsoftonline.cn", "login.partner.microsoftonline.cn", &[
                "login.partner.microsoftonline.cn",
                "login.chinacloudapi.cn",
            ]),
            cloud("login.microsoftonline.us", "login.microsoftonline.us", &[
                "login.microsoftonline.us",
                "login.usgovcloudapi.net",
            ]),
        ],
    }))
}

/// The host and port that the client used.
fn authority(request: &Request) -> &str {
    request.header("host").unwrap_or(&request.host)
}
