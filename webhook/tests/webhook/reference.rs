//! The webhook's part of `docs/flags-and-metrics.md`.

use std::process::Command;

use serde_json::json;

use crate::cluster::Cluster;
use crate::http;
use crate::process::Webhook;

#[test]
fn documents_the_flags_and_variables_of_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_webhook"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let variable = |flag: &str| Some(format!("AZWI_{}", flag.to_uppercase().replace('-', "_")));
    document::hold("webhook flags", &document::help::flags(&help, variable)).unwrap();
    let variables = document::help::variables(&help, "Variables without a flag:");
    document::hold("webhook variables", &variables).unwrap();
}

#[tokio::test]
async fn documents_the_metrics_of_a_scrape() {
    let webhook = Webhook::ready(&Cluster::installed().await, &[]).await;
    // Some appear with their first value.
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": { "uid": "1" },
    });
    webhook.review(&review).await;
    let text = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    document::hold("webhook metrics", &document::scrape::metrics(&text)).unwrap();
}

#[tokio::test]
async fn metrics_have_the_version_of_the_program() {
    let webhook = Webhook::ready(&Cluster::installed().await, &[]).await;
    let text = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    let line = format!(
        "azwi_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    assert!(text.lines().any(|it| it == line), "{text}");
}
