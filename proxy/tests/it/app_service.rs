//! App Service's token endpoint, as SDKs use it in mode `environment`.

use crate::entra::{Entra, aadsts, token};
use crate::raw::Answer;
use crate::sidecar::TokenFile;
use crate::sidecar::{CLIENT, OTHER_CLIENT, Sidecar, config};

const SECRET: &str = "5ecret-0123456789abcdef0123456789";
const VAULT: &str = "resource=https%3A%2F%2Fvault.azure.net";
const V2019: &str = "api-version=2019-08-01";
const V2017: &str = "api-version=2017-09-01";

async fn sidecar(flags: &[&str]) -> (Entra, Sidecar) {
    let entra = Entra::start("localhost").await;
    entra.answer(|_, _| token("eyJ0eXAi.eyJhdWQi.c2lnbg", 3600));
    let secret = format!("--identity-header={SECRET}");
    let flags = [&[secret.as_str()], flags].concat();
    let sidecar = Sidecar::start(&entra, &flags).await;
    (entra, sidecar)
}

async fn ask(sidecar: &Sidecar, query: &str, header: &str) -> Answer {
    let target = format!("/msi/token?{query}");
    ask_at(sidecar, &target, header).await
}

async fn ask_at(sidecar: &Sidecar, target: &str, header: &str) -> Answer {
    sidecar
        .get(target, &format!("{header}: {SECRET}\r\n"))
        .await
}

#[tokio::test]
async fn version_2019_writes_the_expiry_in_seconds() {
    let (entra, sidecar) = sidecar(&[]).await;
    let answer = ask(&sidecar, &format!("{V2019}&{VAULT}"), "X-IDENTITY-HEADER").await;
    let on: u64 = answer.text("expires_on").parse().unwrap();
    let left: u64 = answer.text("expires_in").parse().unwrap();
    assert!((3500..=3600).contains(&left), "{left}");
    assert_eq!(
        answer.golden(),
        format!(
            "HTTP/1.1 200 OK\ncontent-type: application/json; charset=utf-8\nconnection: close\n\
             content-length: {}\n\n{{\"access_token\":\"eyJ0eXAi.eyJhdWQi.c2lnbg\",\
             \"expires_in\":\"{left}\",\"expires_on\":\"{on}\",\"resource\":\"https://vault.azure.net\",\
             \"token_type\":\"Bearer\",\"client_id\":\"{CLIENT}\"}}\n",
            answer.body.len()
        )
    );

    let newer = format!("api-version=2025-03-30&{VAULT}");
    let newer = ask(&sidecar, &newer, "X-IDENTITY-HEADER").await;
    assert_eq!(newer.text("expires_on"), on.to_string());

    // IMDS's endpoint returns the same token from memory.
    let imds = sidecar.token(VAULT).await;
    assert_eq!(imds.text("access_token"), answer.text("access_token"));
    assert_eq!(entra.requests().len(), 1);
}

#[tokio::test]
async fn version_2017_writes_a_date_and_reads_its_own_parameter_names() {
    let (entra, sidecar) = sidecar(&[]).await;
    let query = format!("{VAULT}&{V2017}&clientid={OTHER_CLIENT}");
    let answer = ask(&sidecar, &query, "Secret").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("client_id"), OTHER_CLIENT);
    assert_eq!(entra.requests()[0].form["client_id"], OTHER_CLIENT);
    let date = answer.text("expires_on");
    let form = date
        .replace(|it: char| it.is_ascii_digit(), "0")
        .replace('P', "A");
    assert_eq!(form, "00/00/0000 00:00:00 AM +00:00", "{date}");

    // As msrestazure spells it.
    let target = format!("/msi/token/?{VAULT}&{V2017}");
    assert_eq!(ask_at(&sidecar, &target, "secret").await.status, 200);
}

#[tokio::test]
async fn refuses_app_service_requests_without_the_secret() {
    let (entra, sidecar) = sidecar(&[]).await;
    for header in [
        String::new(),
        "Metadata: true\r\n".to_owned(),
        format!("X-IDENTITY-HEADER: {}\r\n", SECRET.to_uppercase()),
        format!("Cookie: {SECRET}\r\n"),
    ] {
        let target = format!("/msi/token?{V2019}&{VAULT}");
        let answer = sidecar.get(&target, &header).await;
        assert_eq!(answer.status, 401, "{header}: {answer:?}");
        assert_eq!(answer.json()["statusCode"], 401);
        assert!(!answer.head.contains(SECRET) && !answer.body.contains(SECRET));
    }
    assert_eq!(entra.requests().len(), 0);
}

#[tokio::test]
async fn errors_carry_entras_text_for_every_sdk() {
    let (entra, sidecar) = sidecar(&[]).await;
    entra.answer(|_, _| aadsts(400, "unauthorized_client", 700_016));
    let answer = ask(&sidecar, &format!("{V2019}&{VAULT}"), "X-IDENTITY-HEADER").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    for name in ["message", "error_description"] {
        assert!(answer.text(name).contains("AADSTS700016"), "{answer:?}");
    }
    assert_eq!(answer.text("error"), "unauthorized_client");

    for (query, part) in [(V2019, "resource"), (VAULT, "api-version")] {
        let answer = ask(&sidecar, query, "Secret").await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text("message").contains(part), "{answer:?}");
    }
}

#[tokio::test]
async fn has_no_app_service_endpoint_without_a_secret() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &["--relay=deny"]).await;
    let answer = ask(&sidecar, &format!("{V2019}&{VAULT}"), "Secret").await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

/// Other pods reach a port on the node's network, so IMDS, which takes no secret, is off there.
#[tokio::test]
async fn answers_only_app_service_requests_with_imds_off() {
    let (entra, sidecar) = sidecar(&["--imds=off"]).await;
    for target in [
        &format!("/metadata/identity/oauth2/token?{VAULT}"),
        "/metadata/instance?api-version=2021-02-01",
        "/",
    ] {
        let answer = sidecar.get(target, "Metadata: true\r\n").await;
        assert_eq!(answer.status, 404, "{target}: {answer:?}");
        assert_eq!(answer.text("error"), "not_found");
    }
    assert_eq!(entra.requests().len(), 0);
    let answer = ask(&sidecar, &format!("{V2019}&{VAULT}"), "Secret").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn law_8_debug_does_not_show_the_app_service_secret() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    let config = config(&entra, &file, &[&format!("--identity-header={SECRET}")]);
    assert!(!format!("{config:?}").contains(SECRET));
}
