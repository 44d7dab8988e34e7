//! Causes in the installation.

use e2e::program::run;
use e2e::{
    CONFIGURATION, DEPLOYMENT, Namespace, SYSTEM_NAMESPACE, TENANT, kubectl, kubectl_json,
    kubectl_with_input, system, until,
};
use serde_json::json;

use crate::alone;
use crate::azwi::{Fault, check, filled, is_named_and_fixed};
use crate::workload::workload;

const TENANT_ID: (&str, &str) = ("<tenant id>", TENANT);

/// The pods were created while the webhook's configuration was missing.
#[tokio::test]
async fn pods_older_than_the_webhook_are_named() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("older").await;
    kubectl(&["delete", "mutatingwebhookconfiguration", CONFIGURATION]).await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 2))
        .await;
    namespace
        .wait("deployment/shop", "condition=available")
        .await;
    let args = format!("-n {}", namespace.name());
    let fault = Fault {
        check: &args,
        code: "AZWI-I001",
        object: &format!("MutatingWebhookConfiguration {CONFIGURATION}"),
        placeholders: &[],
    };
    let fix = fault.is_named().await;
    run(&filled(&fix, &[TENANT_ID])).await;
    is_named_and_fixed(
        &args,
        "AZWI-W005",
        &format!("Deployment {}/shop", namespace.name()),
    )
    .await;
}

#[tokio::test]
async fn a_webhook_that_is_scaled_to_zero_is_named() {
    let _alone = alone().await;
    system(&["scale", DEPLOYMENT, "--replicas=0"]).await;
    is_named_and_fixed(
        "",
        "AZWI-I003",
        &format!("Service {SYSTEM_NAMESPACE}/azure-wi-webhook-webhook-service"),
    )
    .await;
    settled().await;
}

#[tokio::test]
async fn a_webhook_without_its_service_is_named() {
    let _alone = alone().await;
    system(&["delete", "service", "azure-wi-webhook-webhook-service"]).await;
    let fault = Fault {
        check: "",
        code: "AZWI-I002",
        object: &format!("Service {SYSTEM_NAMESPACE}/azure-wi-webhook-webhook-service"),
        placeholders: &[TENANT_ID],
    };
    fault.is_named_and_fixed().await;
    settled().await;
}

/// Endpoints are ready, and the API server cannot reach them. Its own error says so.
#[tokio::test]
async fn a_webhook_that_the_api_server_cannot_call_is_named() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("called").await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 0))
        .await;
    let port = r#"[{"op":"replace","path":"/spec/ports/0/targetPort","value":1}]"#;
    let service = "service/azure-wi-webhook-webhook-service";
    system(&["patch", service, "--type=json", "-p", port]).await;
    // API servers keep their connections to the replicas: new replicas have none.
    system(&["rollout", "restart", DEPLOYMENT]).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
    let args = format!("-n {}", namespace.name());
    is_named_and_fixed(
        &args,
        "AZWI-I008",
        &format!("MutatingWebhookConfiguration {CONFIGURATION}"),
    )
    .await;
    settled().await;
}

#[tokio::test]
async fn a_second_webhook_configuration_is_named() {
    let _alone = alone().await;
    let mut second = kubectl_json(&["get", "mutatingwebhookconfiguration", CONFIGURATION]).await;
    second["metadata"] = json!({ "name": "aks-managed" });
    kubectl_with_input(&["apply", "-f", "-"], &second.to_string()).await;
    is_named_and_fixed("", "AZWI-I005", "MutatingWebhookConfiguration aks-managed").await;
}

/// The check reads the selector as the API server stores it.
#[tokio::test]
async fn a_namespace_that_the_webhook_leaves_out_is_named() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("selected").await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 0))
        .await;
    let configuration = kubectl_json(&["get", "mutatingwebhookconfiguration", CONFIGURATION]).await;
    let entries = configuration["webhooks"].as_array().expect("webhooks");
    let mut names = entries
        .iter()
        .map(|it| it["name"].as_str().unwrap_or_default());
    let entry = names
        .position(|it| it.starts_with("mutation."))
        .expect("an entry");
    select(entry, &json!({ "matchLabels": { "azwi-test": "on" } })).await;
    is_named_and_fixed(
        &format!("-n {}", namespace.name()),
        "AZWI-W003",
        &format!("Deployment {}/shop", namespace.name()),
    )
    .await;
    select(entry, &json!({})).await;
}

async fn select(entry: usize, selector: &serde_json::Value) {
    let path = format!("/webhooks/{entry}/namespaceSelector");
    let patch = json!([{ "op": "replace", "path": path, "value": selector }]).to_string();
    let configuration = ["mutatingwebhookconfiguration", CONFIGURATION];
    kubectl(
        &[
            &["patch"],
            &configuration[..],
            &["--type=json", "-p", &patch],
        ]
        .concat(),
    )
    .await;
}

/// Waits until the installation is as before: the replicas are ready, and the webhook keeps its bundle.
async fn settled() {
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
    until(
        "a clean check",
        async || check("").await,
        |it| it.code == Some(0),
    )
    .await;
}
