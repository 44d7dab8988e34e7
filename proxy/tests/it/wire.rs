//! Requests and answers byte by byte: rules R1 to R16 and the defects D1 to D15 of other implementations.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proxy::api::imds::is_guid;
use testkit::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::entra::{Entra, token};
use crate::imds::Imds;
use crate::raw::{Answer, exchange, parse, read_one, read_to_end, send};
use crate::sidecar::{CLIENT, DEADLINE, OTHER_CLIENT, Sidecar, TokenFile, config};

const TOKEN: &str = "/metadata/identity/oauth2/token";
const VAULT: &str = "resource=https%3A%2F%2Fvault.azure.net";

/// The proxy's limit on the head of a request.
const HEAD_SIZE: usize = 16 * 1024;

/// Compares with a golden file. Values that depend on time are checked, then replaced by the file's.
#[track_caller]
fn assert_golden(name: &str, answer: &Answer) {
    let path = format!("{}/tests/golden/{name}.http", env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let mut found = answer.golden();
    if answer.status == 200 {
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs();
        let number = |name: &str| answer.text(name).parse::<u64>().unwrap();
        let (expires_in, expires_on) = (number("expires_in"), number("expires_on"));
        assert!((3500..=3600).contains(&expires_in), "{expires_in}");
        assert!(
            (now + 3500..=now + 3600).contains(&expires_on),
            "{expires_on} at {now}"
        );
        assert_eq!(number("not_before"), expires_on - 3900);
        for (name, value) in [
            ("expires_in", expires_in),
            ("expires_on", expires_on),
            ("not_before", expires_on - 3900),
        ] {
            found = found.replace(&format!("{name}\":\"{value}\""), &format!("{name}\":\"…\""));
        }
    }
    assert_eq!(found, golden, "{path}");
}

async fn sidecar() -> (Entra, Sidecar) {
    let entra = Entra::start("localhost").await;
    entra.answer(|_, _| token("eyJ0eXAi.eyJhdWQi.c2lnbg", 3600));
    let map = format!(
        "--identity-map=/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/\
         userAssignedIdentities/cart={OTHER_CLIENT};0b1ec7ed-0000-0000-0000-000000000000={OTHER_CLIENT}"
    );
    let sidecar = Sidecar::start(&entra, &[&map]).await;
    (entra, sidecar)
}

#[tokio::test]
async fn r1_the_endpoint_answers_in_its_accepted_spellings() {
    let (_entra, sidecar) = sidecar().await;
    for path in [
        TOKEN.to_owned(),
        format!("{TOKEN}/"),
        "/Metadata/identity/oauth2/token".to_owned(),
        format!("/{TOKEN}"),
    ] {
        let answer = sidecar
            .get(&format!("{path}?{VAULT}"), "metadata: true\r\n")
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let absolute = format!("http://169.254.169.254{TOKEN}?api-version=2018-02-01&{VAULT}");
    assert_eq!(
        sidecar.get(&absolute, "METADATA: true\r\n").await.status,
        200
    );
}

#[tokio::test]
async fn refuses_a_request_without_exactly_one_host() {
    let (entra, sidecar) = sidecar().await;
    for path in [
        &format!("{TOKEN}?{VAULT}"),
        "/metadata/instance",
        "/readyz",
        "/msi/token",
    ] {
        for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n"] {
            let head = format!("GET {path} HTTP/1.1\r\n{hosts}Metadata: true\r\n");
            let answer = exchange(sidecar.address, &head).await;
            assert_eq!(answer.status, 400, "{path} {hosts}: {answer:?}");
            let text = answer.text("error_description");
            assert_eq!(
                text,
                "Invalid request: HTTP/1.1 requires the header Host, once"
            );
        }
    }
    assert_eq!(entra.requests().len(), 0);
    // HTTP/1.0 requires none.
    let head = format!("GET {TOKEN}?{VAULT} HTTP/1.0\r\nMetadata: true\r\n");
    assert_eq!(exchange(sidecar.address, &head).await.status, 200);
}

#[tokio::test]
async fn readiness_has_two_spellings_and_nothing_below_it() {
    let (_entra, sidecar) = sidecar().await;
    for path in ["/readyz", "/readyz/", "/readyz?x=1"] {
        let answer = sidecar.get(path, "").await;
        assert_eq!((answer.status, &*answer.body), (200, "ok"), "{path}");
    }
    for path in ["/readyz/x", "/readyzz", "/READYZ", "//readyz", "/readyz//"] {
        let answer = sidecar.get(path, "").await;
        assert_eq!((answer.status, &*answer.text("error")), (404, "not_found"));
    }
}

#[tokio::test]
async fn r2_d1_answers_every_availability_probe() {
    let (entra, sidecar) = sidecar().await;
    // The requests with which clients detect IMDS, oldest first.
    for (client, query, lines) in [
        (
            "@azure/identity 1.0",
            format!("?{VAULT}&api-version=2018-02-01&client_id={CLIENT}"),
            "",
        ),
        (
            "@azure/identity 1.3 to now",
            String::new(),
            "accept: application/json\r\n",
        ),
        (
            "azure-identity 1.6 for Python",
            format!("?api-version=2018-02-01&{VAULT}"),
            "",
        ),
        (
            "Azure.Identity 1.0",
            "?api-version=2018-02-01".to_owned(),
            "",
        ),
        (
            "Azure.Identity 1.11",
            format!("?api-version=2018-02-01&{VAULT}&client_id={CLIENT}"),
            "x-ms-client-request-id: 1\r\n",
        ),
        (
            "Azure.Identity 1.14",
            format!("?api-version=2018-02-01&{VAULT}&msi-res-id=/a"),
            "",
        ),
        ("azidentity 1.6", String::new(), ""),
        ("adal for Go", "?api-version=2018-02-01".to_owned(), ""),
        ("AppAuthentication 1.0", String::new(), ""),
        (
            "MSAL.NET 4.81",
            format!("?api-version=2018-02-01&client_id={CLIENT}"),
            "",
        ),
    ] {
        let answer = sidecar.get(&format!("{TOKEN}{query}"), lines).await;
        assert_golden("no-metadata-header", &answer);
        assert!(!answer.body.contains("Identity not found"), "{client}");
    }
    let answer = sidecar.get(TOKEN, "Metadata: true\r\n").await;
    // azure-identity 1.0 to 1.5 for Python sends the header alone.
    assert_golden("no-resource", &answer);
    assert_eq!(entra.requests().len(), 0);
}

#[tokio::test]
async fn r2_the_header_must_be_true() {
    let (entra, sidecar) = sidecar().await;
    for line in ["Metadata: 1\r\n", "Metadata:\r\n", "Metadata-X: true\r\n"] {
        assert_golden(
            "no-metadata-header",
            &sidecar.get(&format!("{TOKEN}?{VAULT}"), line).await,
        );
    }
    assert_eq!(entra.requests().len(), 0);
}

/// google-auth, x/oauth2 and Snowflake's connectors send `True`.
#[tokio::test]
async fn r2_the_header_may_be_true_in_any_case() {
    let (_entra, sidecar) = sidecar().await;
    for value in ["true", "True", "TRUE"] {
        let line = format!("Metadata: {value}\r\n");
        let answer = sidecar.get(&format!("{TOKEN}?{VAULT}"), &line).await;
        assert_golden("token", &answer);
    }
}

#[tokio::test]
async fn r3_no_resource_is_refused_at_once() {
    let (entra, sidecar) = sidecar().await;
    assert_golden("no-resource", &sidecar.token("").await);
    assert_golden(
        "no-resource",
        &sidecar.token("api-version=2018-02-01&resource=").await,
    );
    assert_eq!(entra.requests().len(), 0);
}

#[tokio::test]
async fn r4_r6_d2_d7_answers_as_imds_does() {
    let (_entra, sidecar) = sidecar().await;
    let answer = sidecar
        .token(&format!("api-version=2018-02-01&{VAULT}"))
        .await;
    assert_golden("token", &answer);
    for (name, value) in answer.json().as_object().unwrap() {
        assert!(value.is_string(), "{name}");
    }
}

#[tokio::test]
async fn r5_d14_returns_the_resource_as_it_was_spelled() {
    let (entra, sidecar) = sidecar().await;
    for (query, golden) in [
        ("resource=https://vault.azure.net", "token"),
        ("resource=https%3A%2F%2Fvault.azure.net", "token"),
        ("resource=https://vault.azure.net/", "token-slash"),
        ("resource=https%3a%2f%2fvault.azure.net%2f", "token-slash"),
        ("resource=https://VAULT.azure.net", "token-upper-case"),
        ("resource=https://vault.azure.net/.default", "token-scope"),
        ("resource=api://6a1b%2Bx", "token-plus"),
    ] {
        assert_golden(golden, &sidecar.token(query).await);
    }
    let scopes: Vec<_> = entra
        .requests()
        .iter()
        .map(|request| request.form["scope"].clone())
        .collect();
    assert_eq!(
        scopes,
        [
            "https://vault.azure.net/.default",
            "https://vault.azure.net//.default",
            "https://VAULT.azure.net/.default",
            "https://vault.azure.net/.default",
            "api://6a1b+x/.default",
        ],
        "one exchange for each spelling (D14)",
    );
}

#[tokio::test]
async fn r6_d3_sends_a_content_length_with_tokens_of_any_length() {
    let (entra, sidecar) = sidecar().await;
    for length in [1_500, 3_000, 20_000, 100_000] {
        entra.answer(move |_, _| token(&"x".repeat(length), 3600));
        let answer = sidecar.token(&format!("resource=r{length}")).await;
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(
            answer.header("content-length"),
            Some(&*answer.body.len().to_string())
        );
        assert_eq!(answer.text("access_token").len(), length);
    }
}

#[tokio::test]
async fn r6_keeps_connections_open_unless_asked_to_close() {
    let (_entra, sidecar) = sidecar().await;
    let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
    let request = format!("GET {TOKEN}?{VAULT} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n");
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_golden("token-kept-alive", &read_one(&mut stream).await);
    }
    let closing = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    stream.write_all(closing.as_bytes()).await.unwrap();
    let last = parse(&read_to_end(&mut stream).await);
    assert_eq!(last.header("connection"), Some("close"));
    let old = request.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(
        parse(&send(sidecar.address, old.as_bytes()).await).status,
        200
    );
}

#[tokio::test]
async fn r7_d4_every_error_is_json() {
    let (_entra, sidecar) = sidecar().await;
    for (target, lines) in [
        (TOKEN, ""),
        (TOKEN, "Metadata: true\r\n"),
        (
            "/metadata/identity/oauth2/token?resource=a&resource=b",
            "Metadata: true\r\n",
        ),
        (
            "/metadata/identity/oauth2/token?resource=a&client_id=b",
            "Metadata: true\r\n",
        ),
        ("/metadata/identity/info", ""),
        ("/metadata/identity%5coauth2", ""),
        ("/metadata/instance", "Metadata: true\r\n"),
        ("/%ff", ""),
    ] {
        let answer = sidecar.get(target, lines).await;
        assert!(answer.status >= 400, "{target}: {answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(
            answer.header("content-length"),
            Some(&*answer.body.len().to_string())
        );
        let body = answer.json();
        let names: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["error", "error_description"], "{target}");
    }
}

#[tokio::test]
async fn r10_d6_each_selector_gives_its_own_identity_or_none() {
    let (entra, sidecar) = sidecar().await;
    let resource_id = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/\
                       userAssignedIdentities/Cart";
    let object_id = "0B1EC7ED-0000-0000-0000-000000000000";
    for (selector, client) in [
        (String::new(), CLIENT),
        ("&client_id=".to_owned(), CLIENT),
        (format!("&client_id={OTHER_CLIENT}"), OTHER_CLIENT),
        (format!("&object_id={object_id}"), OTHER_CLIENT),
        (format!("&msi_res_id={resource_id}"), OTHER_CLIENT),
        (
            format!("&mi_res_id={}", resource_id.replace('/', "%2F")),
            OTHER_CLIENT,
        ),
        (format!("&msi-res-id={resource_id}"), OTHER_CLIENT),
    ] {
        let answer = sidecar.token(&format!("{VAULT}{selector}")).await;
        assert_eq!(answer.text("client_id"), client, "{selector}");
        let golden = if client == CLIENT {
            "token"
        } else {
            "token-of-client-id"
        };
        assert_golden(golden, &answer);
    }
    assert_golden(
        "unknown-object-id",
        &sidecar.token(&format!("{VAULT}&object_id=x")).await,
    );
    assert_golden(
        "unknown-msi-res-id",
        &sidecar.token(&format!("{VAULT}&msi_res_id=/x")).await,
    );
    assert_golden(
        "unknown-mi-res-id",
        &sidecar.token(&format!("{VAULT}&mi_res_id=/x")).await,
    );
    assert_golden(
        "client-id-no-guid",
        &sidecar.token(&format!("{VAULT}&client_id=cart")).await,
    );
    let two = format!("{VAULT}&client_id={CLIENT}&object_id={object_id}");
    assert_golden("several-selectors", &sidecar.token(&two).await);
    let clients: Vec<_> = entra
        .requests()
        .iter()
        .map(|request| request.form["client_id"].clone())
        .collect();
    assert_eq!(
        clients,
        [CLIENT, OTHER_CLIENT],
        "one exchange for each identity"
    );
    assert!(clients.iter().all(|client| is_guid(client)));
}

/// Whether by the first request of the pod or by a later one: msodbcsql sends the object id as `UID`.
#[tokio::test]
async fn r10_the_pods_own_object_id_gives_its_token_and_another_ones_none() {
    const OWN: &str = "0b1ec7ed-1111-1111-1111-111111111111";
    let other = OWN.replace('1', "2");
    let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"oid":"{OWN}","appid":"{CLIENT}"}}"#));
    for queries in [
        [format!("object_id={OWN}"), format!("object_id={other}")],
        [format!("object_id={other}"), format!("principal_id={OWN}")],
        [String::new(), format!("object_id={}", OWN.to_uppercase())],
    ] {
        let entra = Entra::start("localhost").await;
        let access_token = format!("e30.{payload}.c2ln");
        entra.answer(move |_, _| token(&access_token, 3600));
        let sidecar = Sidecar::start(&entra, &[]).await;
        for _ in 0..2 {
            for query in &queries {
                let answer = sidecar.token(&format!("{VAULT}&{query}")).await;
                if query.contains(&other) {
                    assert_golden("unknown-object-id", &answer);
                } else {
                    assert_eq!(answer.text("client_id"), CLIENT, "{query}");
                }
            }
        }
        let answer = sidecar
            .token(&format!("resource=b&object_id={other}"))
            .await;
        assert_golden("unknown-object-id", &answer);
        let clients: Vec<_> = entra
            .requests()
            .iter()
            .map(|request| request.form["client_id"].clone())
            .collect();
        assert_eq!(
            clients,
            [CLIENT],
            "one exchange, for the pod's own identity"
        );
    }
}

#[tokio::test]
async fn r10_without_a_token_an_object_id_gets_entras_error() {
    let entra = Entra::start("localhost").await;
    entra.answer(|_, _| crate::entra::aadsts(400, "unauthorized_client", 700_016));
    let sidecar = Sidecar::start(&entra, &[]).await;
    let query = format!("{VAULT}&object_id=0b1ec7ed-1111-1111-1111-111111111111");
    let answer = sidecar.token(&query).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("AADSTS700016"), "{answer:?}");
    // A token that is no JSON Web Token names no object id.
    entra.answer(|_, _| token("opaque", 3600));
    let query = query.replace("vault", "storage");
    assert_golden("unknown-object-id", &sidecar.token(&query).await);
}

#[tokio::test]
async fn r7_refuses_invalid_requests_without_an_exchange() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &["--client-id=", "--relay=/metadata/instance"]).await;
    assert_golden("no-client-id", &sidecar.token(VAULT).await);
    assert_golden(
        "repeated-parameter",
        &sidecar.token("resource=a&resource=b").await,
    );
    assert_golden("resource-not-text", &sidecar.token("resource=%ff").await);
    assert_golden("not-relayed", &sidecar.get("/metadata/versions", "").await);
    // AppAuthentication 1.5 and later probe this path. Nothing listens there.
    let probe = "/metadata/instance?api-version=2020-06-01";
    assert_golden("no-imds", &sidecar.get(probe, "Metadata: true\r\n").await);
    assert_eq!(entra.requests().len(), 0);
}

#[tokio::test]
async fn r10_az_login_identity_works() {
    // azure-cli up to 2.73 tries the id of `-u` as client id, and goes on only at a 400 with this
    // very reason phrase.
    let (_entra, sidecar) = sidecar().await;
    let resource = "resource=https%3A%2F%2Fmanagement.core.windows.net%2F&api-version=2018-02-01";
    let id = "/subscriptions/s/resourceGroups/g/providers/x/userAssignedIdentities/y";
    for selector in ["client_id", "object_id"] {
        let answer = sidecar.token(&format!("{resource}&{selector}={id}")).await;
        assert!(
            answer.head.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn r11_r12_ignores_unknown_parameters_and_headers() {
    let (_entra, sidecar) = sidecar().await;
    for query in [
        VAULT.to_owned(),
        format!("api-version=2019-08-01&{VAULT}"),
        format!("{VAULT}&api-version=2021-02-01"),
        format!("{VAULT}&xms_cc=cp1&token_sha256_to_refresh=0&bypass_cache=true&authority=x"),
    ] {
        assert_eq!(sidecar.token(&query).await.status, 200, "{query}");
    }
    let lines = "metadata: true\r\ncookie: \r\ncontent-type: application/json; charset=utf-8\r\n\
                 accept-language: *\r\nsec-fetch-mode: cors\r\nx-client-SKU: msal.js.node\r\n";
    assert_eq!(
        sidecar.get(&format!("{TOKEN}?{VAULT}"), lines).await.status,
        200
    );
}

#[tokio::test]
async fn r12_a_new_token_can_be_requested() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    let first = sidecar.token(VAULT).await.text("access_token").to_owned();
    let sha256 = |token: &str| {
        let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        hash.as_ref()
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect::<String>()
    };
    let refused = |token| format!("{VAULT}&token_sha256_to_refresh={}", sha256(token));
    for (query, wanted) in [
        (format!("{VAULT}&bypass_cache=true"), "token-1"),
        (refused(&first), "token-1"),
        (refused("token-1"), "token-2"),
    ] {
        let ask = async || sidecar.token(&query).await.text("access_token");
        // A token is a few seconds old before it is replaced.
        poll::until("the token", ask, |token| token == wanted).await;
    }
    assert_eq!(sidecar.token(VAULT).await.text("access_token"), "token-2");
    assert_eq!(entra.requests().len(), 3);
}

#[tokio::test]
async fn r12_claims_and_capabilities_reach_entra_and_have_tokens_of_their_own() {
    let entra = Entra::start("localhost").await;
    let token_file = TokenFile::new();
    let mut config = config(&entra, &token_file, &[]);
    config.metrics_port = Some(0);
    let sidecar = Sidecar::start_with(config, token_file).await;
    for _ in 0..2 {
        for (more, wanted) in [
            ("", "token-0"),
            ("&xms_cc=cp1", "token-1"),
            ("&claims=%7B%22a%22%3Anull%7D", "token-2"),
        ] {
            let answer = sidecar.token(&format!("{VAULT}{more}")).await;
            assert_eq!(answer.text("access_token"), wanted, "{more}");
        }
    }
    let claims: Vec<_> = entra
        .requests()
        .iter()
        .map(|request| request.form.get("claims").cloned())
        .collect();
    let cp1 = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#.to_owned();
    assert_eq!(claims, [None, Some(cp1), Some(r#"{"a":null}"#.to_owned())]);
    let scrape = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    let text = exchange(sidecar.metrics_address.unwrap(), scrape)
        .await
        .body;
    assert_eq!(text.matches("token_expiry_seconds{").count(), 1, "{text}");
}

#[tokio::test]
async fn r13_d8_other_methods_are_refused() {
    let (entra, sidecar) = sidecar().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let head = format!("{method} {TOKEN}?{VAULT} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n");
        assert_golden("method", &exchange(sidecar.address, &head).await);
    }
    let form = format!(
        "POST {TOKEN} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\nConnection: close\r\n\
         Content-Length: 10\r\n\r\nresource=a"
    );
    assert_golden(
        "method",
        &parse(&send(sidecar.address, form.as_bytes()).await),
    );
    let head = format!("HEAD {TOKEN}?{VAULT} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n");
    let answer = exchange(sidecar.address, &head).await;
    assert_eq!((answer.status, &*answer.body), (405, ""));
    assert_eq!(answer.header("content-length"), Some("84"));
    assert_eq!(entra.requests().len(), 0);
}

#[tokio::test]
async fn r13_d12_forwarded_requests_are_refused() {
    let (entra, sidecar) = sidecar().await;
    for line in ["X-Forwarded-For: 10.0.0.1\r\n", "x-forwarded-for:\r\n"] {
        let lines = format!("Metadata: true\r\n{line}");
        assert_golden(
            "forwarded",
            &sidecar.get(&format!("{TOKEN}?{VAULT}"), &lines).await,
        );
    }
    assert_eq!(entra.requests().len(), 0);
}

#[tokio::test]
async fn r14_refuses_paths_of_the_nodes_identity() {
    let (_entra, sidecar) = sidecar().await;
    for path in [
        "/metadata/identity",
        "/metadata/identity/info?api-version=2021-02-01",
        "/metadata/identity/getplatformmetadata?cred-api-version=2.0",
        "/metadata/identity/issuecredential",
        "/metadata/identity/oauth2/tokenXYZ",
    ] {
        // MSAL.NET takes a 400 for an IMDS of version 2, and a 404 for one that is not.
        for lines in ["", "Metadata: true\r\n"] {
            assert_golden("node-identity", &sidecar.get(path, lines).await);
        }
    }
    assert_golden(
        "misspelled",
        &sidecar.get(r"/metadata/identity\oauth2\token", "").await,
    );
    assert_golden(
        "malformed",
        &sidecar.get("/metadata/x/../identity", "").await,
    );
}

#[tokio::test]
async fn r16_accepts_connections_without_a_request() {
    let (_entra, sidecar) = sidecar().await;
    for _ in 0..100 {
        drop(TcpStream::connect(sidecar.address).await.unwrap());
    }
    assert_eq!(sidecar.token(VAULT).await.status, 200);
}

#[tokio::test]
async fn d13_listens_on_127_0_0_1_alone() {
    let (_entra, sidecar) = sidecar().await;
    assert_eq!(sidecar.address.ip().to_string(), "127.0.0.1");
}

#[tokio::test]
async fn d15_redirects_no_path() {
    let (_entra, sidecar) = sidecar().await;
    for path in [
        "//metadata/identity/oauth2/token",
        "/metadata//identity/oauth2/token",
        "//x",
    ] {
        let answer = sidecar.get(path, "Metadata: true\r\n").await;
        assert!(!(300..400).contains(&answer.status), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_entra, sidecar) = sidecar().await;
    let request = |resource| {
        format!("GET {TOKEN}?resource={resource} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n")
    };
    let mut all = String::new();
    for resource in ["a", "b", "c"] {
        all.push_str(&request(resource));
        all.push_str("\r\n");
    }
    all.push_str(&request("d"));
    all.push_str("Connection: close\r\n\r\n");
    let answers = send(sidecar.address, all.as_bytes()).await;
    let found: Vec<_> = answers
        .split("\"resource\":\"")
        .skip(1)
        .map(|rest| &rest[..1])
        .collect();
    assert_eq!(found, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_half_closed_connection_gets_its_answer() {
    let (entra, sidecar) = sidecar().await;
    entra.delay(Duration::from_millis(50));
    let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
    let request = format!("GET {TOKEN}?{VAULT} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(parse(&read_to_end(&mut stream).await).status, 200);
}

#[tokio::test]
async fn r7_answers_malformed_http_with_json() {
    let (_entra, sidecar) = sidecar().await;
    for request in [
        "GET\r\n\r\n",
        "GET /metadata/identity/oauth2/token HTTP/9.9\r\n\r\n",
        "GET /metadata/identity/oauth2/token HTTP/1.1\r\nbad header\r\n\r\n",
        "GET http://[ HTTP/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2} a client that speaks TLS\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0",
    ] {
        let answer = parse(&send(sidecar.address, request.as_bytes()).await);
        assert_golden("not-http", &answer);
    }
    let good = format!("GET {TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answers = send(
        sidecar.address,
        format!("{good}{good}rubbish\r\n\r\n").as_bytes(),
    )
    .await;
    let (earlier, last) = answers.rsplit_once("HTTP/1.1 ").unwrap();
    assert_eq!(earlier.matches("Required metadata header").count(), 2);
    assert_golden("not-http", &parse(&format!("HTTP/1.1 {last}")));
}

/// Also after answers of IMDS. An empty one looks like hyper's own refusal.
#[tokio::test]
async fn r7_answers_malformed_http_after_an_answer_of_imds_with_json() {
    const EMPTY: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let entra = Entra::start("localhost").await;
    let too_large = "x".repeat(HEAD_SIZE);
    for (of_imds, ends) in [(EMPTY, "content-length: 0\r\n"), (CHUNKED, "\r\n0\r\n\r\n")] {
        for (next, golden) in [(&*too_large, "too-large"), ("GET\r\n\r\n", "not-http")] {
            let imds = Imds::start(of_imds).await;
            let [ip, port] = imds.flags();
            let sidecar = Sidecar::start(&entra, &[&ip, &port]).await;
            let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
            let relayed = "GET /metadata/instance HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(relayed.as_bytes()).await.unwrap();
            let mut first = String::new();
            while !(first.contains(ends) && first.ends_with("\r\n\r\n")) {
                let byte = timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap();
                first.push(byte.into());
            }
            assert!(!first.contains("error"), "{first}");
            stream.write_all(next.as_bytes()).await.unwrap();
            assert_golden(golden, &parse(&read_to_end(&mut stream).await));
        }
    }
}

/// W3C baggage alone has up to 8,192 bytes.
#[tokio::test]
async fn reads_a_head_of_almost_16_kib() {
    let (_entra, sidecar) = sidecar().await;
    let baggage = "y".repeat(8_192);
    let cookie = "z".repeat(7_800);
    let lines = format!("Metadata: true\r\nbaggage: {baggage}\r\ncookie: {cookie}\r\n");
    let answer = sidecar.get(&format!("{TOKEN}?{VAULT}"), &lines).await;
    assert_golden("token", &answer);
}

#[tokio::test]
async fn r7_answers_a_head_that_is_too_large_with_json() {
    let (_entra, sidecar) = sidecar().await;
    let long_query = format!("GET {TOKEN}?{VAULT}&x={} HTTP/1.1\r\n", "y".repeat(20_000));
    let long_header = format!(
        "GET {TOKEN} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\nx: {}\r\n",
        "y".repeat(20_000)
    );
    let many_headers = format!("GET {TOKEN} HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    for head in [long_query, long_header, many_headers] {
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        // Not more than the proxy reads: unread bytes reset the connection and discard the answer.
        stream
            .write_all(&head.as_bytes()[..HEAD_SIZE.min(head.len())])
            .await
            .unwrap();
        assert_golden("too-large", &parse(&read_to_end(&mut stream).await));
    }
    assert_eq!(sidecar.token(VAULT).await.status, 200);
}
