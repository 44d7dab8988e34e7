//! `azwi issuer check` with a fake API server and a fake issuer.

use std::process::Output;

use serde_json::json;

use crate::api_server::{Cluster, SIGNATURE, key};
use crate::fixture::{ISSUER, healthy};
use crate::issuer_server::{DISCOVERY, Issuer, KEYS_URL, discovery, keys, ok};
use crate::process::text;

async fn check(issuer: &Issuer, cluster: Cluster, args: &[&str]) -> Output {
    issuer
        .azwi(cluster, &[&["issuer", "check"], args].concat())
        .await
}

#[tokio::test]
async fn a_published_issuer_is_right() {
    let issuer = Issuer::start(vec![discovery(ISSUER, KEYS_URL), keys(&[key("key-1")])]).await;
    for args in [&[][..], &["-o", "json"], &[ISSUER]] {
        let output = check(&issuer, healthy(), args).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(!text(&output).contains(SIGNATURE), "{}", text(&output));
    }
    let output = check(&issuer, healthy(), &[]).await;
    let summary =
        "issuer https://issuer.example.com/cluster/: 1 keys published, 1 in the cluster\n";
    assert_eq!(text(&output), summary);
}

#[tokio::test]
async fn each_fault_of_the_documents_is_named() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: https://other.example.com/\r\nContent-Length: 0\r\n\r\n";
    for (answers, parts) in [
        (vec![], ["AZWI-T005", "its status is 404"]),
        (
            vec![(DISCOVERY, redirect.to_owned())],
            ["AZWI-T005", "redirects to https://other.example.com/"],
        ),
        (
            vec![(DISCOVERY, ok(&json!("no")))],
            ["AZWI-T005", "no such document"],
        ),
        (
            vec![(DISCOVERY, ok(&json!({ "issuer": "x".repeat(2_000_000) })))],
            ["AZWI-T005", "no such document"],
        ),
        (vec![discovery(ISSUER, KEYS_URL)], ["AZWI-T005", KEYS_URL]),
        (
            vec![discovery(ISSUER, "https://10.0.0.1:6443/openid/v1/jwks")],
            ["AZWI-T005", "no public https URL"],
        ),
        (
            vec![
                discovery("https://issuer.example.com/cluster", KEYS_URL),
                keys(&[key("key-1")]),
            ],
            ["AZWI-T003", "differ by the last slash"],
        ),
        (
            vec![discovery(ISSUER, KEYS_URL), keys(&[key("old")])],
            ["AZWI-T006", "key-1"],
        ),
    ] {
        let issuer = Issuer::start(answers).await;
        let output = check(&issuer, healthy(), &[]).await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        for part in parts {
            assert!(text(&output).contains(part), "{part}: {}", text(&output));
        }
    }
}

/// It may be reached from elsewhere.
#[tokio::test]
async fn does_not_check_an_issuer_that_cannot_be_reached_or_read() {
    let issuer = Issuer::start(vec![discovery(ISSUER, KEYS_URL), keys(&[key("key-1")])]).await;
    let output = issuer
        .azwi_trusting("", healthy(), &["issuer", "check"])
        .await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("not checked: get https://issuer.example.com/"),
        "{}",
        text(&output)
    );
    let mut cluster = healthy();
    cluster.forbidden.insert("token");
    let output = check(&issuer, cluster, &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let right = "the right to create serviceaccounts/token in namespace prod is missing";
    assert!(text(&output).contains(right), "{}", text(&output));
}
