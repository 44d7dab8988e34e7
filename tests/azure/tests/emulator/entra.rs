//! Entra's token endpoint: the requests that it grants, and each that it refuses.

use crate::world::{
    CLIENT, ISSUER, OTHER_CLIENT, SCOPE, SUBJECT, TENANT, World, assertion, claims, keys, now,
};
use anyhow::Result;
use azure_emulator::{
    Application, FederatedCredential, Issuer, Jwt, KeySet, Kind, PublicKey, Service, SigningKey,
};
use serde_json::{Value, json};

#[track_caller]
fn refused(answer: &crate::world::Answer, status: u16, error: &str, code: u64) -> Result<String> {
    let body = answer.json()?;
    let text = body["error_description"].as_str().unwrap_or_default();
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(body["error_codes"], json!([code]), "{body}");
    assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
    for part in [" Trace ID: ", " Correlation ID: ", " Timestamp: "] {
        assert!(text.contains(part), "{text}");
    }
    Ok(text.to_owned())
}

#[tokio::test]
async fn a_good_request_gets_a_token() -> Result<()> {
    let world = World::start().await?;
    let answer = world.token(&assertion()?, &[]).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        "application/json; charset=utf-8"
    );
    let body = answer.json()?;
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 86_399);
    assert_eq!(body["ext_expires_in"], 86_399);
    assert!(body.get("refresh_in").is_none());

    let token = body["access_token"].as_str().unwrap_or_default();
    let jwt = Jwt::parse(token)?;
    let url = format!("{}{TENANT}/discovery/v2.0/keys", world.azure.entra_url());
    let published: KeySet = world.http.get(url).send().await?.json().await?;
    let key = published.find(jwt.header["kid"].as_str().unwrap_or_default());
    assert!(key.is_some_and(|key| key.verifies(&jwt)));
    for (claim, value) in [
        ("aud", "https://vault.azure.net"),
        ("appid", CLIENT),
        ("appidacr", "2"),
        ("oid", CLIENT),
        ("tid", TENANT),
        ("ver", "1.0"),
        (
            "iss",
            "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
        ),
    ] {
        assert_eq!(jwt.text(claim), Some(value));
    }
    assert!(
        jwt.text("xms_mirid")
            .is_some_and(|id| id.ends_with("userAssignedIdentities/app"))
    );
    let left = jwt.time("exp").unwrap_or_default() - now()?;
    assert!((86_300..=86_400).contains(&left), "{left}");
    Ok(())
}

#[tokio::test]
async fn an_app_registrations_token_is_valid_for_an_hour() -> Result<()> {
    let world = World::start().await?;
    let application = Application {
        tenant: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        kind: Kind::Application,
        federated_credentials: vec![FederatedCredential::service_account(
            ISSUER, "default", "app",
        )],
        ..Application::default()
    };
    world.azure.control.add_application(&application).await?;
    let body = world.token(&assertion()?, &[]).await?.json()?;
    assert_eq!(body["expires_in"], 3_599);
    let jwt_text = body["access_token"].as_str().unwrap_or_default();
    assert!(Jwt::parse(jwt_text)?.text("xms_mirid").is_none());
    Ok(())
}

#[tokio::test]
async fn the_audience_is_the_scope_up_to_its_last_default() -> Result<()> {
    let world = World::start().await?;
    for (scope, audience) in [
        (
            "https://management.azure.com//.default",
            "https://management.azure.com/",
        ),
        (
            "https://management.azure.com/.default openid offline_access profile",
            "https://management.azure.com",
        ),
        (
            "cfa8b339-82a2-471a-a3c9-0fc0be7a4093/.default",
            "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
        ),
    ] {
        let token = world.access_token(&[("scope", scope)]).await?;
        assert_eq!(Jwt::parse(&token)?.audiences(), [audience]);
    }
    Ok(())
}

#[tokio::test]
async fn each_mistake_in_the_request_has_its_error_code() -> Result<()> {
    let world = World::start().await?;
    let assertion = assertion()?;
    for (name, value, status, error, code) in [
        ("grant_type", "", 400, "invalid_request", 900_144),
        (
            "grant_type",
            "password",
            400,
            "unsupported_grant_type",
            70_003,
        ),
        ("client_id", "", 400, "invalid_request", 900_144),
        ("client_id", "nobody", 400, "unauthorized_client", 700_016),
        ("scope", "", 400, "invalid_request", 90_014),
        (
            "scope",
            "https://vault.azure.net",
            400,
            "invalid_scope",
            1_002_012,
        ),
        (
            "scope",
            "https://other.example/.default",
            400,
            "invalid_resource",
            500_011,
        ),
        ("client_assertion", "", 401, "invalid_client", 7_000_218),
        ("client_assertion", "a.b.c", 400, "invalid_request", 50_027),
        ("client_assertion_type", "", 400, "invalid_request", 900_144),
    ] {
        let answer = world.token(&assertion, &[(name, value)]).await?;
        refused(&answer, status, error, code)?;
    }
    let base = world.azure.entra_url();
    let other = "99999999-2222-3333-4444-555555555555";
    let answer = world.token_at(&base, other, &assertion, &[]).await?;
    let text = refused(&answer, 400, "invalid_request", 90_002)?;
    assert!(text.contains(other), "{text}");
    let answer = world
        .token_at(&base, "not_a_tenant", &assertion, &[])
        .await?;
    refused(&answer, 400, "invalid_request", 900_023)?;
    let url = format!("{base}{TENANT}/oauth2/v2.0/token");
    let answer = crate::world::Answer::read(world.http.get(&url).send().await?).await?;
    refused(&answer, 400, "invalid_request", 900_561)?;
    let request = world.http.post(&url).body("grant_type=client_credentials");
    let answer = crate::world::Answer::read(request.send().await?).await?;
    refused(&answer, 400, "invalid_request", 900_144)?;
    Ok(())
}

#[tokio::test]
async fn a_tenant_is_unknown_in_another_cloud() -> Result<()> {
    let world = World::start().await?;
    let port = world.azure.address.port();
    for (host, status) in [
        ("login.microsoftonline.com", 200),
        ("login.microsoftonline.us", 400),
    ] {
        let base = format!("https://{host}:{port}/");
        let answer = world.token_at(&base, TENANT, &assertion()?, &[]).await?;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_assertion_must_match_a_federated_credential_exactly() -> Result<()> {
    let world = World::start().await?;
    for (claim, value, code) in [
        ("iss", json!("https://oidc.cluster.example/other/"), 700_211),
        ("iss", json!(ISSUER.trim_end_matches('/')), 700_211),
        ("sub", json!("system:serviceaccount:default:other"), 700_213),
        ("sub", json!("system:serviceaccount:default:App"), 7_002_138),
        ("aud", json!("https://kubernetes.default.svc"), 700_212),
        ("aud", json!("api://AKSIdentityBinding"), 700_212),
        (
            "aud",
            json!(["api://AzureADTokenExchange", "other"]),
            700_212,
        ),
    ] {
        let mut claims = claims()?;
        claims[claim] = value.clone();
        let answer = world.token(&keys()?.0.sign(&claims)?, &[]).await?;
        let text = refused(&answer, 401, "invalid_client", code)?;
        let presented = value
            .as_str()
            .unwrap_or("api://AzureADTokenExchange, other");
        assert!(text.contains(&format!("'{presented}'")), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn refuses_a_missing_claim_and_an_unknown_header() -> Result<()> {
    let world = World::start().await?;
    for claim in ["iss", "sub", "aud"] {
        let mut claims = claims()?;
        claims.as_object_mut().map(|claims| claims.remove(claim));
        let answer = world.token(&keys()?.0.sign(&claims)?, &[]).await?;
        refused(&answer, 400, "invalid_request", 90_014)?;
    }
    let kid = &keys()?.0.public().kid;
    for (header, status, error, code) in [
        (json!({ "alg": "RS256" }), 401, "invalid_client", 5_002_723),
        (
            json!({ "alg": "HS256", "kid": kid }),
            401,
            "invalid_client",
            5_002_738,
        ),
        (
            json!({ "alg": "none", "kid": kid }),
            401,
            "invalid_client",
            5_002_738,
        ),
        (
            json!({ "alg": "RS256", "kid": kid, "typ": "at+jwt" }),
            400,
            "invalid_request",
            5_002_727,
        ),
    ] {
        let assertion = keys()?.0.sign_with_header(&header, &claims()?)?;
        let answer = world.token(&assertion, &[]).await?;
        refused(&answer, status, error, code)?;
    }
    // Kubernetes omits the type.
    let header = json!({ "alg": "RS256", "kid": kid });
    let assertion = keys()?.0.sign_with_header(&header, &claims()?)?;
    assert_eq!(world.token(&assertion, &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_assertion_is_valid_from_nbf_to_exp_give_or_take_five_minutes() -> Result<()> {
    let world = World::start().await?;
    let now = now()?;
    for (from, until, status) in [
        (now - 3_600, now - 240, 200),
        (now - 3_600, now - 301, 401),
        (now + 240, now + 3_600, 200),
        (now + 360, now + 3_600, 401),
        (now, now - 10, 401),
    ] {
        let mut claims = claims()?;
        claims["nbf"] = from.into();
        claims["exp"] = until.into();
        let answer = world.token(&keys()?.0.sign(&claims)?, &[]).await?;
        assert_eq!(answer.status, status, "{} {}", from - now, until - now);
        if status != 200 {
            let text = refused(&answer, 401, "invalid_client", 700_024)?;
            assert!(text.contains("not within its valid time range"), "{text}");
        }
    }
    let mut claims = claims()?;
    claims.as_object_mut().map(|claims| claims.remove("exp"));
    let answer = world.token(&keys()?.0.sign(&claims)?, &[]).await?;
    refused(&answer, 401, "invalid_client", 700_024)?;
    Ok(())
}

#[tokio::test]
async fn refuses_an_assertion_signed_by_another_key() -> Result<()> {
    let world = World::start().await?;
    let (own, foreign) = keys()?;
    let answer = world.token(&foreign.sign(&claims()?)?, &[]).await?;
    let text = refused(&answer, 401, "invalid_client", 700_027)?;
    assert!(text.contains("The key was not found"), "{text}");

    let header = json!({ "alg": "RS256", "kid": own.public().kid });
    let forged = foreign.sign_with_header(&header, &claims()?)?;
    let answer = world.token(&forged, &[]).await?;
    let text = refused(&answer, 401, "invalid_client", 700_027)?;
    assert!(
        text.contains("did not match the expected signature"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn fetches_an_issuers_keys_again_for_an_unknown_key() -> Result<()> {
    let world = World::start().await?;
    let new = &keys()?.1;
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    let assertion = new.sign(&claims()?)?;
    assert_eq!(world.token(&assertion, &[]).await?.status, 401);
    world.publish(new.key_set());
    assert_eq!(world.token(&assertion, &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_issuer_must_be_reachable() -> Result<()> {
    let world = World::start().await?;
    let control = &world.azure.control;
    let mut issuer = Issuer {
        issuer: ISSUER.to_owned(),
        jwks_url: Some("http://127.0.0.1:1/jwks".to_owned()),
        ..Issuer::default()
    };
    control.add_issuer(&issuer).await?;
    let answer = world.token(&assertion()?, &[]).await?;
    refused(&answer, 400, "invalid_request", 90_061)?;

    issuer.jwks_url = Some(format!("http://{}/readyz", world.azure.control_address));
    control.add_issuer(&issuer).await?;
    let answer = world.token(&assertion()?, &[]).await?;
    refused(&answer, 400, "invalid_request", 900_612)?;

    issuer.jwks_url = None;
    issuer.jwks = Some(keys()?.0.key_set());
    control.add_issuer(&issuer).await?;
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn adds_and_removes_credentials() -> Result<()> {
    let world = World::start().await?;
    let control = &world.azure.control;
    let name = "system-serviceaccount-default-app";
    control.remove_credential(CLIENT, name).await?;
    let answer = world.token(&assertion()?, &[]).await?;
    let text = refused(&answer, 400, "invalid_request", 70_021)?;
    assert!(
        text.contains(&format!("Assertion Subject: '{SUBJECT}'")),
        "{text}"
    );
    let credential = FederatedCredential::service_account(ISSUER, "default", "app");
    control.add_credential(CLIENT, &credential).await?;
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    assert!(control.add_credential(CLIENT, &credential).await.is_err());
    control.remove_application(CLIENT).await?;
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn the_token_proxy_accepts_its_own_audience_alone() -> Result<()> {
    let world = World::start().await?;
    let credential = FederatedCredential {
        name: "binding".to_owned(),
        audiences: vec!["api://AKSIdentityBinding".to_owned()],
        ..FederatedCredential::service_account(ISSUER, "default", "app")
    };
    let control = &world.azure.control;
    control.add_credential(CLIENT, &credential).await?;
    let mut claims = claims()?;
    claims["aud"] = json!(["api://AKSIdentityBinding"]);
    let bound = keys()?.0.sign(&claims)?;
    let proxy = format!("{}/", world.azure.token_proxy_url().unwrap_or_default());
    assert_eq!(
        world.token_at(&proxy, TENANT, &bound, &[]).await?.status,
        200
    );
    refused(
        &world.token(&bound, &[]).await?,
        401,
        "invalid_client",
        700_212,
    )?;
    let answer = world.token_at(&proxy, TENANT, &assertion()?, &[]).await?;
    refused(&answer, 401, "invalid_client", 700_212)?;
    let seen = control.requests(Some(Service::TokenProxy)).await?;
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].tenant.as_deref(), Some(TENANT));
    Ok(())
}

#[tokio::test]
async fn records_requests_without_the_assertion() -> Result<()> {
    let world = World::start().await?;
    let assertion = assertion()?;
    let url = format!("{}{TENANT}/oauth2/v2.0/token", world.azure.entra_url());
    let request = world
        .http
        .post(url)
        .header("client-request-id", "6a1b2c3d-0000-4000-8000-000000000001")
        .header("return-client-request-id", "true")
        .form(&[("client_assertion", assertion.as_str()), ("scope", SCOPE)]);
    let answer = crate::world::Answer::read(request.send().await?).await?;
    assert_eq!(
        answer.header("client-request-id"),
        "6a1b2c3d-0000-4000-8000-000000000001"
    );
    assert_eq!(
        answer.json()?["correlation_id"],
        "6a1b2c3d-0000-4000-8000-000000000001"
    );
    world.token(&assertion, &[]).await?;
    let control = &world.azure.control;
    let records = control.wait_for_requests(Some(Service::Entra), 2).await?;
    assert_eq!(records[0].aadsts, Some(900_144));
    assert_eq!(records[0].status, Some(400));
    assert_eq!(records[1].status, Some(200));
    assert_eq!(records[1].client_id.as_deref(), Some(CLIENT));
    assert_eq!(records[1].scope.as_deref(), Some(SCOPE));
    assert_eq!(records[0].connection, records[1].connection);
    let sub = records[1]
        .claims
        .as_ref()
        .map(|claims| claims["sub"].clone());
    assert_eq!(sub, Some(Value::from(SUBJECT)));
    let signature = assertion.rsplit('.').next().unwrap_or_default();
    assert!(!serde_json::to_string(&records)?.contains(signature));
    let counters = control.counters().await?;
    assert_eq!(counters.requests[&Service::Entra], 2);
    assert_eq!(counters.tokens, 1);
    control.reset().await?;
    assert_eq!(control.counters().await?.tokens, 0);
    assert_eq!(world.token(&assertion, &[]).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn serves_the_discovery_documents() -> Result<()> {
    let world = World::start().await?;
    let base = world.azure.entra_url();
    let get = async |path: String| -> Result<crate::world::Answer> {
        crate::world::Answer::read(world.http.get(format!("{base}{path}")).send().await?).await
    };
    let body = get(format!("{TENANT}/v2.0/.well-known/openid-configuration"))
        .await?
        .json()?;
    assert_eq!(
        body["token_endpoint"],
        format!("{base}{TENANT}/oauth2/v2.0/token")
    );
    let endpoint = "https%3A%2F%2Flogin.microsoftonline.com%2Ft%2Foauth2%2Fv2.0%2Fauthorize";
    let body = get(format!(
        "common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}"
    ))
    .await?
    .json()?;
    assert_eq!(
        body["tenant_discovery_endpoint"],
        "https://login.microsoftonline.com/t/v2.0/.well-known/openid-configuration"
    );
    let unknown = get(format!(
        "{}/v2.0/.well-known/openid-configuration",
        OTHER_CLIENT
    ))
    .await?;
    refused(&unknown, 400, "invalid_request", 90_002)?;
    Ok(())
}

#[test]
fn a_key_of_another_kind_verifies_nothing() -> Result<()> {
    let key = SigningKey::generate()?;
    let token = key.sign(&json!({}))?;
    let other = PublicKey {
        kty: "EC".to_owned(),
        ..key.public().clone()
    };
    assert!(!other.verifies(&Jwt::parse(&token)?));
    Ok(())
}
