//! The requests to Entra: their form and their number.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use testkit::poll;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::entra::{Entra, Reply, aadsts, answer, token, untrusted_authority};
use crate::raw::exchange;
use crate::sidecar::{CLIENT, Sidecar, TENANT, TokenFile, assertion, config};

const VAULT: &str = "resource=https://vault.azure.net";
const TOKEN_OF_VAULT: &str = "GET /metadata/identity/oauth2/token?resource=https://vault.azure.net HTTP/1.1\r\nHost: x\r\n\
     Metadata: true\r\n";

#[tokio::test]
async fn sends_the_documented_request() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    sidecar.token(VAULT).await;
    sidecar.token("resource=b").await;
    let requests = entra.requests();
    assert_eq!(requests[0].path, format!("/{TENANT}/oauth2/v2.0/token"));
    let assertion = assertion("first");
    assert_eq!(
        requests[0].body,
        format!(
            "client_assertion={assertion}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
             client-assertion-type%3Ajwt-bearer&client_id={CLIENT}&grant_type=client_credentials&\
             scope=https%3A%2F%2Fvault.azure.net%2F.default"
        ),
    );
    let header = |nth: usize, name| requests[nth].headers[name].to_str().unwrap();
    assert_eq!(
        header(0, "content-type"),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(header(0, "accept"), "application/json");
    let ids = [0, 1].map(|nth| header(nth, "client-request-id").parse::<Uuid>().unwrap());
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn d11_connects_to_entra_before_the_first_request_and_stays_connected() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    let connections = async || entra.connections.load(Ordering::SeqCst);
    poll::until("a connection", connections, |count| *count == 1).await;
    assert_eq!(entra.requests().len(), 0, "no discovery, no exchange");
    let ask = async |resource: &str| sidecar.token(&format!("resource={resource}")).await.status;
    assert_eq!(ask("a").await, 200);
    // A request that comes while the connection is being opened opens another one.
    let opened = connections().await;
    for resource in ["b", "c"] {
        assert_eq!(ask(resource).await, 200);
    }
    assert_eq!(connections().await, opened);
}

#[tokio::test]
async fn is_ready_without_entra() {
    let entra = Entra::start("localhost").await;
    // Nothing listens on the discard port, and it is not reachable from outside.
    let sidecar = Sidecar::start(&entra, &["--authority-host=https://127.0.0.1:9/"]).await;
    let answer = sidecar.token(VAULT).await;
    assert_eq!(
        (answer.status, &*answer.text("error")),
        (503, "service_unavailable")
    );
}

#[tokio::test]
async fn d11_a_cached_token_costs_no_exchange() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    let first = sidecar.token(VAULT).await.text("access_token");
    for _ in 0..20 {
        assert_eq!(sidecar.token(VAULT).await.text("access_token"), first);
    }
    assert_eq!(entra.requests().len(), 1);
}

#[tokio::test]
async fn many_first_calls_make_one_exchange() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    entra.delay(Duration::from_millis(200));
    let address = sidecar.address;
    let calls: JoinSet<_> = (0..300)
        .map(|_| exchange(address, TOKEN_OF_VAULT))
        .collect();
    let calls = calls.join_all().await;
    let tokens: BTreeSet<_> = calls.iter().map(|call| call.text("access_token")).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(entra.requests().len(), 1);
}

#[tokio::test]
async fn a_slow_resource_delays_no_other() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    entra.answer(|_, request| {
        if request.form["scope"].starts_with("slow") {
            Reply::Hang
        } else {
            token("t", 3600)
        }
    });
    let slow = sidecar.token("resource=slow");
    let others = async {
        entra.until_requests(1).await;
        assert_eq!(sidecar.token("resource=b").await.status, 200);
        assert_eq!(sidecar.token("resource=b").await.status, 200);
    };
    tokio::select! {
        answer = slow => panic!("answered: {answer:?}"),
        () = others => {}
    }
}

#[tokio::test]
async fn the_token_file_is_read_for_each_exchange() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    sidecar.token("resource=a").await;
    sidecar.token_file.write("second");
    sidecar.token("resource=b").await;
    let presented: Vec<_> = entra
        .requests()
        .iter()
        .map(|request| request.form["client_assertion"].clone())
        .collect();
    assert_eq!(presented, [assertion("first"), assertion("second")]);
}

#[tokio::test]
async fn reads_an_expired_assertion_again_and_retries_once() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    let file = TokenFile(sidecar.token_file.0.clone());
    entra.answer(move |nth, _| {
        if nth == 0 {
            // The kubelet replaces the token at this moment.
            file.write("second");
            return aadsts(401, "invalid_client", 700024);
        }
        token("t", 3600)
    });
    assert_eq!(sidecar.token(VAULT).await.status, 200);
    assert_eq!(
        entra.requests()[1].form["client_assertion"],
        assertion("second")
    );
}

#[tokio::test]
async fn retries_a_missing_credential() {
    for code in [70021, 700211, 700213] {
        let entra = Entra::start("localhost").await;
        let sidecar = Sidecar::start(&entra, &[]).await;
        entra.answer(move |nth, _| match nth {
            0 | 1 => aadsts(401, "invalid_client", code),
            _ => token("t", 3600),
        });
        assert_eq!(sidecar.token(VAULT).await.status, 200, "{code}");
        assert_eq!(entra.requests().len(), 3, "{code}");
    }
}

#[tokio::test]
async fn retries_transient_failures() {
    for failure in [
        aadsts(503, "temporarily_unavailable", 90033),
        answer(500, None, "<html>"),
        answer(429, None, "Too Many Requests"),
        answer(503, Some("0"), "{}"),
        Reply::Close,
    ] {
        let entra = Entra::start("localhost").await;
        let sidecar = Sidecar::start(&entra, &[]).await;
        entra.answer(move |nth, _| {
            if nth == 0 {
                failure.clone()
            } else {
                token("t", 3600)
            }
        });
        assert_eq!(sidecar.token(VAULT).await.status, 200);
        assert!(entra.requests().len() >= 2);
    }
}

#[tokio::test]
async fn trusts_a_private_authority_by_file_and_by_directory() {
    let entra = Entra::start("localhost").await;
    let directory = std::env::temp_dir().join(format!("proxy-test-{}", Uuid::new_v4()));
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("ca.pem");
    std::fs::write(&file, &entra.ca).unwrap();
    std::fs::write(directory.join("README"), "not a certificate").unwrap();
    let other = format!("--ca-data={}", untrusted_authority());
    for flag in [
        format!("--ssl-cert-file={}", file.display()),
        format!("--ssl-cert-dir={}", directory.display()),
    ] {
        let sidecar = Sidecar::start(&entra, &[&other, &flag]).await;
        assert_eq!(sidecar.token(VAULT).await.status, 200, "{flag}");
    }
    let sidecar = Sidecar::start(&entra, &[&other]).await;
    let refused = sidecar.token(VAULT).await;
    assert_eq!(refused.status, 503);
    let text = refused.text("error_description");
    assert!(
        text.contains("AZWI_CA_DATA"),
        "the error names the setting: {text}"
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn names_a_token_file_that_goes_missing() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    std::fs::remove_file(&sidecar.token_file.0).unwrap();
    let answer = sidecar.token(VAULT).await;
    assert_eq!(answer.status, 503);
    let path = sidecar.token_file.0.display().to_string();
    assert!(
        answer.text("error_description").contains(&path),
        "{answer:?}"
    );
    let ready = sidecar.get("/readyz", "").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains(&path), "{ready:?}");
    sidecar.token_file.write("back");
    assert_eq!(sidecar.get("/readyz", "").await.body, "ok");
}

#[tokio::test]
async fn metrics_count_requests_and_exchanges() {
    let entra = Entra::start("localhost").await;
    entra.answer(|nth, _| match nth {
        0 => aadsts(401, "invalid_client", 700024),
        _ => token("secret-token", 3600),
    });
    let file = TokenFile::new();
    let mut config = config(&entra, &file, &[]);
    config.metrics_port = Some(0);
    let sidecar = Sidecar::start_with(config, file).await;
    sidecar.token(VAULT).await;
    sidecar.token(VAULT).await;
    sidecar.get("/metadata/identity/oauth2/token", "").await;
    let head = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    let port = sidecar.metrics_address.unwrap().port();
    let scraped = exchange(([127, 0, 0, 1], port).into(), head).await;
    let wanted = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(scraped.header("content-type"), Some(wanted));
    for line in [
        "azwi_proxy_build_info{version=\"0.1.0\"} 1",
        "azwi_proxy_requests_total{outcome=\"entra\"} 1",
        "azwi_proxy_requests_total{outcome=\"memory\"} 1",
        "azwi_proxy_requests_total{outcome=\"probe\"} 1",
        "azwi_proxy_exchange_duration_seconds_count{status=\"200\",code=\"\"} 1",
        "azwi_proxy_exchange_duration_seconds_count{status=\"401\",code=\"700024\"} 1",
        "azwi_proxy_token_expiry_seconds{client_id=\"91be####\",resource=\"https://vault.azure.net\"} 3",
    ] {
        assert!(scraped.body.contains(line), "{line}: {}", scraped.body);
    }
    assert!(!scraped.body.contains("secret-token"));
}
