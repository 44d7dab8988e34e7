//! `docs/webhook.md` names what there is.

use std::process::Command;

use serde_json::json;

use crate::cluster::Cluster;
use crate::http;
use crate::process::Webhook;

const REFERENCE: &str = include_str!("../../../docs/webhook.md");

/// Asserts that the reference has a row or a sentence about the name.
fn assert_named(name: &str) {
    let quoted = format!("`{name}`");
    assert!(
        REFERENCE.contains(&quoted),
        "{name} is not in docs/webhook.md"
    );
}

#[test]
fn every_flag_and_variable_is_named() {
    let help = Command::new(env!("CARGO_BIN_EXE_webhook"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split(|it: char| it.is_whitespace() || ",.()[]:;".contains(it));
    let flags: Vec<_> = words
        .clone()
        .filter_map(|word| word.split('=').next().filter(|it| it.starts_with("--")))
        .filter(|flag| !["--help", "--version"].contains(flag))
        .collect();
    assert!(flags.len() > 20, "{flags:?}");
    flags.into_iter().for_each(assert_named);
    let is_variable = |word: &&str| {
        let starts = ["AZURE_", "PROXY_", "POD_", "KUBE"];
        starts.iter().any(|it| word.starts_with(it)) && !word.contains('*')
    };
    let variables: Vec<_> = words.filter(is_variable).collect();
    assert!(variables.len() >= 7, "{variables:?}");
    variables.into_iter().for_each(assert_named);
}

#[tokio::test]
async fn every_metric_is_named() {
    let webhook = Webhook::ready(&Cluster::installed().await, &[]).await;
    // Some are there only when something has been counted.
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": { "uid": "1" },
    });
    webhook.review(&review).await;
    let text = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    let described: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    assert!(described.len() >= 10, "{text}");
    for (name, kind) in described {
        // Counters are known by the name of their samples.
        let suffix = if kind == "counter" { "_total" } else { "" };
        assert_named(&format!("{name}{suffix}"));
    }
}
