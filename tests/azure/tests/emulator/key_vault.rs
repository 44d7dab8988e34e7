//! Key Vault: which token may read a secret.

use anyhow::Result;
use azure_emulator::{Rule, Service, TokenChange, Vault};
use serde_json::json;

use crate::world::{Answer, OTHER_CLIENT, TENANT, World, keys, now};

const SECRET: &str = "/secrets/greeting/?api-version=7.4";

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, text: &str) -> Result<()> {
    let body = answer.json()?;
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(body["error"]["code"], code, "{body}");
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(text), "{message}");
    assert_eq!(
        answer
            .header("www-authenticate")
            .contains("Bearer authorization="),
        status == 401
    );
    Ok(())
}

#[tokio::test]
async fn answers_a_request_without_a_token_with_the_challenge() -> Result<()> {
    let world = World::start().await?;
    let answer = world.secret(SECRET, None).await?;
    refused(&answer, 401, "Unauthorized", "AKV10000: Request is missing")?;
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer authorization=\"https://login.microsoftonline.com/\
         11111111-2222-3333-4444-555555555555\", resource=\"https://vault.azure.net\""
    );
    Ok(())
}

#[tokio::test]
async fn a_reader_gets_the_secret() -> Result<()> {
    let world = World::start().await?;
    let token = world.access_token(&[]).await?;
    let answer = world.secret(SECRET, Some(&token)).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json()?;
    assert_eq!(body["value"], "hello");
    assert_eq!(body["attributes"]["enabled"], true);
    let id = body["id"].as_str().unwrap_or_default();
    let path = id.trim_start_matches("https://myvault.vault.azure.net");
    let versioned = format!("{path}?api-version=7.4");
    let answer = world.secret(&versioned, Some(&token)).await?;
    assert_eq!(answer.status, 200, "{versioned}");

    world
        .azure
        .control
        .set_secret("myvault", "greeting", "changed")
        .await?;
    let answer = world.secret(SECRET, Some(&token)).await?;
    assert_eq!(answer.json()?["value"], "changed");
    let records = world
        .azure
        .control
        .requests(Some(Service::KeyVault))
        .await?;
    assert_eq!(records[0].headers["authorization"], "Bearer");
    assert!(!serde_json::to_string(&records)?.contains(&token));
    Ok(())
}

#[tokio::test]
async fn other_requests_with_a_good_token_fail_as_the_original_does() -> Result<()> {
    let world = World::start().await?;
    let token = world.access_token(&[]).await?;
    for (path, status, code) in [
        ("/secrets/nothing?api-version=7.4", 404, "SecretNotFound"),
        (
            "/secrets/greeting/0123?api-version=7.4",
            404,
            "SecretNotFound",
        ),
        ("/secrets/greeting", 400, "BadParameter"),
        ("/keys/greeting?api-version=7.4", 404, "NotFound"),
    ] {
        let answer = world.secret(path, Some(&token)).await?;
        refused(&answer, status, code, "")?;
    }
    Ok(())
}

#[tokio::test]
async fn forbids_an_identity_that_is_no_reader() -> Result<()> {
    let world = World::start().await?;
    let token = world.access_token(&[("client_id", OTHER_CLIENT)]).await?;
    let answer = world.secret(SECRET, Some(&token)).await?;
    refused(
        &answer,
        403,
        "Forbidden",
        "does not have secrets get permission",
    )?;
    refused(&answer, 403, "Forbidden", OTHER_CLIENT)?;
    assert_eq!(
        answer.json()?["error"]["innererror"]["code"],
        "AccessDenied"
    );
    Ok(())
}

#[tokio::test]
async fn refuses_a_token_for_another_audience() -> Result<()> {
    let world = World::start().await?;
    for resource in ["https://management.azure.com", "https://vault.azure.net/"] {
        let scope = format!("{resource}/.default");
        let token = world.access_token(&[("scope", &scope)]).await?;
        let answer = world.secret(SECRET, Some(&token)).await?;
        refused(
            &answer,
            401,
            "Unauthorized",
            &format!(
                "AKV10022: Invalid audience. Expected https://vault.azure.net, found: {resource}."
            ),
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn refuses_an_expired_token() -> Result<()> {
    let world = World::start().await?;
    let rule = Rule {
        token: Some(TokenChange {
            lifetime_seconds: Some(-400),
            ..TokenChange::default()
        }),
        ..Rule::default()
    };
    world.azure.control.add_rule(&rule).await?;
    let token = world.access_token(&[]).await?;
    let answer = world.secret(SECRET, Some(&token)).await?;
    refused(&answer, 401, "Unauthorized", "IDX10223")
}

#[tokio::test]
async fn refuses_a_token_signed_by_another_key() -> Result<()> {
    let world = World::start().await?;
    let now = now()?;
    let claims = json!({
        "aud": "https://vault.azure.net",
        "iss": format!("https://sts.windows.net/{TENANT}/"),
        "tid": TENANT,
        "appid": crate::world::CLIENT,
        "nbf": now,
        "exp": now + 3_600,
    });
    let token = keys()?.1.sign(&claims)?;
    let answer = world.secret(SECRET, Some(&token)).await?;
    refused(&answer, 401, "Unauthorized", "AKV10001")?;
    let answer = world.secret(SECRET, Some("nonsense")).await?;
    refused(&answer, 401, "Unauthorized", "AKV10001")
}

#[tokio::test]
async fn refuses_a_token_of_another_tenant() -> Result<()> {
    let world = World::start().await?;
    let tenant = "22222222-2222-3333-4444-555555555555";
    let control = &world.azure.control;
    control
        .add_tenant(&azure_emulator::Tenant::new(tenant))
        .await?;
    control
        .add_vault(&Vault {
            name: "myvault".to_owned(),
            tenant: tenant.to_owned(),
            readers: vec![crate::world::CLIENT.to_owned()],
            ..Vault::default()
        })
        .await?;
    let token = world.access_token(&[]).await?;
    let answer = world.secret(SECRET, Some(&token)).await?;
    refused(&answer, 401, "Unauthorized", "AKV10032: Invalid issuer.")
}
