//! Static websites of Azure Storage, and Entra's way to the keys of an issuer that is one.

use anyhow::Result;
use azure_emulator::{Application, FederatedCredential, KeySet, Service, website_url};
use serde_json::{Value, json};

use crate::world::{Answer, CLIENT, SUBJECT, TENANT, World, claims, keys};

const ACCOUNT: &str = "cluster";
const DISCOVERY: &str = ".well-known/openid-configuration";
const KEYS: &str = "openid/v1/jwks";

fn issuer() -> String {
    website_url(ACCOUNT)
}

async fn get(world: &World, account: &str, path: &str) -> Result<Answer> {
    let port = world.azure.address.port();
    let url = format!("{}:{port}/{path}", website_url(account));
    Answer::read(world.http.get(url).send().await?).await
}

/// Turns the website on, and lets the application trust an issuer.
async fn trusting(world: &World, issuer: &str) -> Result<()> {
    let control = &world.azure.control;
    control.enable_website(ACCOUNT).await?;
    let credential = FederatedCredential::service_account(issuer, "default", "app");
    let application = Application {
        tenant: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        federated_credentials: vec![credential],
        ..Application::default()
    };
    control.add_application(&application).await?;
    Ok(())
}

async fn publish(world: &World, path: &str, document: &Value) -> Result<()> {
    let control = &world.azure.control;
    let text = document.to_string();
    control
        .put_file(ACCOUNT, path, "application/json", text)
        .await?;
    Ok(())
}

fn discovery(issuer: &str, jwks_uri: &str) -> Value {
    json!({ "issuer": issuer, "jwks_uri": jwks_uri })
}

async fn publish_all(world: &World, keys: &KeySet) -> Result<()> {
    let issuer = issuer();
    publish(world, KEYS, &json!(keys)).await?;
    publish(
        world,
        DISCOVERY,
        &discovery(&issuer, &format!("{issuer}/{KEYS}")),
    )
    .await
}

/// Exchanges a token of an issuer, signed with the first or the second key: the status and Entra's code.
async fn exchange(world: &World, issuer: &str, second: bool) -> Result<(u16, Value)> {
    let mut claims = claims()?;
    claims["iss"] = issuer.into();
    claims["sub"] = SUBJECT.into();
    let keys = keys()?;
    let key = if second { &keys.1 } else { &keys.0 };
    let answer = world.token(&key.sign(&claims)?, &[]).await?;
    Ok((answer.status, answer.json()?["error_codes"][0].clone()))
}

#[tokio::test]
async fn a_website_serves_what_was_uploaded_and_nothing_else() -> Result<()> {
    let world = World::start().await?;
    let control = &world.azure.control;
    let refused = control.put_file(ACCOUNT, "a", "text/plain", "a").await;
    assert!(refused.is_err(), "the website is off");
    control.enable_website(ACCOUNT).await?;
    control
        .put_file(ACCOUNT, "folder/File.txt", "text/plain", "content")
        .await?;
    let answer = get(&world, ACCOUNT, "folder/File.txt").await?;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, "content"),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), "text/plain");
    for path in ["", "folder", "folder/", "folder/file.txt", DISCOVERY] {
        let answer = get(&world, ACCOUNT, path).await?;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), "text/html");
        assert_eq!(answer.header("x-ms-error-code"), "WebContentNotFound");
        assert!(
            answer
                .text
                .contains("The requested content does not exist.")
        );
    }
    assert_eq!(get(&world, "nosuchaccount", "").await?.status, 404);
    let url = format!("{}:{}/a", issuer(), world.azure.address.port());
    let answer = Answer::read(world.http.post(url).send().await?).await?;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("x-ms-error-code"), "UnsupportedHttpVerb");

    control.remove_website(ACCOUNT).await?;
    assert_eq!(get(&world, ACCOUNT, "folder/File.txt").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn entra_finds_the_keys_of_a_website_by_its_discovery_document() -> Result<()> {
    let world = World::start().await?;
    let issuer = issuer();
    trusting(&world, &issuer).await?;
    assert_eq!(
        exchange(&world, &issuer, false).await?,
        (400, json!(90_061)),
        "nothing is published"
    );
    publish_all(&world, &keys()?.0.key_set()).await?;
    assert_eq!(exchange(&world, &issuer, false).await?.0, 200);
    let before = world.azure.control.requests(Some(Service::Storage)).await?;
    assert_eq!(exchange(&world, &issuer, false).await?.0, 200);
    let after = world.azure.control.requests(Some(Service::Storage)).await?;
    assert_eq!(before, after, "the keys are cached");

    assert_eq!(
        exchange(&world, &issuer, true).await?,
        (401, json!(700_027)),
        "a key that is not published"
    );
    let both = KeySet {
        keys: [keys()?.0.key_set().keys, keys()?.1.key_set().keys].concat(),
    };
    publish_all(&world, &both).await?;
    for second in [true, false] {
        assert_eq!(exchange(&world, &issuer, second).await?.0, 200);
    }
    Ok(())
}

#[tokio::test]
async fn entra_takes_the_documents_of_a_website_to_the_letter() -> Result<()> {
    let world = World::start().await?;
    let issuer = issuer();
    let with_slash = format!("{issuer}/");
    let jwks_uri = format!("{issuer}/{KEYS}");
    trusting(&world, &issuer).await?;
    publish(&world, KEYS, &json!(keys()?.0.key_set())).await?;
    for (document, code) in [
        (discovery(&with_slash, &jwks_uri), 90_061),
        (
            discovery(&issuer, &jwks_uri.replace("https", "http")),
            90_061,
        ),
        (discovery(&issuer, &format!("{issuer}/jwks")), 90_061),
        (
            discovery(&issuer, "https://login.microsoftonline.com/jwks"),
            90_061,
        ),
        (json!({ "issuer": issuer }), 90_061),
        (
            discovery(&issuer, &format!("{issuer}/{DISCOVERY}")),
            900_612,
        ),
    ] {
        publish(&world, DISCOVERY, &document).await?;
        let (status, found) = exchange(&world, &issuer, false).await?;
        assert_eq!((status, found), (400, json!(code)), "{document}");
    }
    // A token with the slash needs a credential with it, whatever is published.
    publish(&world, DISCOVERY, &discovery(&issuer, &jwks_uri)).await?;
    assert_eq!(
        exchange(&world, &with_slash, false).await?,
        (401, json!(700_211))
    );
    trusting(&world, &with_slash).await?;
    assert_eq!(
        exchange(&world, &with_slash, false).await?,
        (400, json!(90_061))
    );
    Ok(())
}
