//! The node's IMDS.

use anyhow::Result;
use azure_emulator::{Jwt, NODE_CLIENT_ID, NODE_NAME, Service};
use reqwest::Method;
use serde_json::Value;

use crate::world::{Answer, World};

const TOKEN: &str =
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net";

async fn ask(
    world: &World,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Answer> {
    let url = format!("http://{}{target}", world.azure.imds_address);
    let mut request = world.http.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.send().await?).await
}

async fn get(world: &World, target: &str) -> Result<Answer> {
    ask(world, Method::GET, target, &[("Metadata", "true")]).await
}

#[tokio::test]
async fn its_token_names_the_nodes_identity() -> Result<()> {
    let world = World::start().await?;
    let answer = get(&world, TOKEN).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("server").starts_with("IMDS/"));
    let body = answer.json()?;
    assert_eq!(body["client_id"], NODE_CLIENT_ID);
    assert_eq!(body["resource"], "https://vault.azure.net");
    let values = body
        .as_object()
        .map(|body| body.values().all(Value::is_string));
    assert_eq!(values, Some(true));
    let jwt = Jwt::parse(body["access_token"].as_str().unwrap_or_default())?;
    assert_eq!(jwt.text("appid"), Some(NODE_CLIENT_ID));
    assert!(
        jwt.text("xms_mirid")
            .is_some_and(|id| id.ends_with(NODE_NAME))
    );
    assert_eq!(world.azure.control.counters().await?.node_tokens, 1);
    let token = body["access_token"].as_str();
    let answer = world
        .secret("/secrets/greeting?api-version=7.4", token)
        .await?;
    assert_eq!(answer.status, 401);
    Ok(())
}

#[tokio::test]
async fn its_token_needs_the_header_and_the_parameters() -> Result<()> {
    let world = World::start().await?;
    for (method, target, headers, status, text) in [
        (
            Method::GET,
            TOKEN,
            vec![],
            400,
            "Required metadata header not specified",
        ),
        (
            Method::GET,
            TOKEN,
            vec![("Metadata", "True")],
            400,
            "Required metadata header",
        ),
        (
            Method::GET,
            TOKEN,
            vec![("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")],
            400,
            "<Code>InvalidHeaderValue</Code>",
        ),
        (
            Method::POST,
            TOKEN,
            vec![("Metadata", "true")],
            405,
            "Only GET",
        ),
        (
            Method::GET,
            "/metadata/identity/oauth2/token?api-version=2018-02-01",
            vec![("Metadata", "true")],
            400,
            "'resource' is missing",
        ),
        (
            Method::GET,
            "/metadata/identity/oauth2/token?resource=a",
            vec![("Metadata", "true")],
            400,
            "'api-version' is missing",
        ),
    ] {
        let answer = ask(&world, method, target, &headers).await?;
        assert_eq!(answer.status, status, "{target} {headers:?}");
        assert!(answer.text.contains(text), "{}", answer.text);
    }
    for (more, text) in [
        (
            "&client_id=aaaaaaaa-0000-0000-0000-000000000001",
            "Identity not found",
        ),
        ("&client_id=a&object_id=b", "mutually exclusive"),
    ] {
        let answer = get(&world, &format!("{TOKEN}{more}")).await?;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains(text), "{}", answer.text);
    }
    assert_eq!(world.azure.control.counters().await?.node_tokens, 0);
    Ok(())
}

#[tokio::test]
async fn describes_the_machine() -> Result<()> {
    let world = World::start().await?;
    let version = "api-version=2021-02-01";
    for (path, text) in [
        (format!("/metadata/instance?{version}"), "\"azEnvironment\""),
        (
            format!("/Metadata/instance/compute?{version}"),
            "\"vmSize\"",
        ),
        (
            format!("/metadata/instance/compute/location?{version}&format=text"),
            "westeurope",
        ),
        (
            format!("/metadata/instance/network/interface/0/macAddress?{version}&format=text"),
            "000D3A000001",
        ),
        ("/metadata/versions".to_owned(), "apiVersions"),
        (format!("/metadata/scheduledevents?{version}"), "Events"),
        (
            format!("/metadata/attested/document?{version}&nonce=7"),
            "EMULATOR7",
        ),
        ("/metadata/identity/info".to_owned(), "tenantId"),
        (
            "/metadata/identity/getplatformmetadata?cred-api-version=2.0".to_owned(),
            NODE_CLIENT_ID,
        ),
    ] {
        let answer = get(&world, &path).await?;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text.contains(text), "{path}: {}", answer.text);
    }
    for (path, status) in [
        ("/metadata/instance", 400),
        (
            "/metadata/instance/compute/location?api-version=2021-02-01",
            400,
        ),
        ("/metadata/instance/nothing?api-version=2021-02-01", 404),
        ("/metadata/nothing", 404),
        ("/latest/meta-data/", 404),
        ("/", 404),
    ] {
        assert_eq!(get(&world, path).await?.status, status, "{path}");
    }
    let missing = get(&world, "/metadata/instance").await?.json()?;
    assert!(missing["newest-versions"].is_array());
    Ok(())
}

#[tokio::test]
async fn a_post_starts_scheduled_events() -> Result<()> {
    let world = World::start().await?;
    let url = format!(
        "http://{}/metadata/scheduledevents?api-version=2020-07-01",
        world.azure.imds_address
    );
    for (body, status) in [(r#"{"StartRequests":[{"EventId":"1"}]}"#, 200), ("{}", 400)] {
        let request = world.http.post(&url).header("Metadata", "true").body(body);
        assert_eq!(request.send().await?.status().as_u16(), status);
    }
    Ok(())
}

#[tokio::test]
async fn records_requests_as_sent() -> Result<()> {
    let world = World::start().await?;
    let headers = [("Metadata", "true"), ("X-Custom", "seen")];
    ask(
        &world,
        Method::GET,
        "/metadata/%69dentity/info?a=%20",
        &headers,
    )
    .await?;
    let records = world.azure.control.requests(Some(Service::Imds)).await?;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].method, "GET");
    assert_eq!(records[0].target, "/metadata/%69dentity/info?a=%20");
    assert_eq!(records[0].headers["x-custom"], "seen");
    Ok(())
}
