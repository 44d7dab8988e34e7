//! The habits of tools that apply the chart's manifests again and again and look for differences.

use delivery::{empty, path, ready, shell};
use e2e::authority::{bundle, certificates, stored};
use e2e::{CONFIGURATION, SYSTEM_NAMESPACE, TENANT, kubectl, until};
use serde_json::Value;

#[tokio::test]
async fn applied_on_the_server_a_second_time_changes_nothing() {
    assert_settled("--server-side --field-manager=argocd-controller").await;
}

#[tokio::test]
async fn applied_by_the_client_a_second_time_changes_nothing() {
    assert_settled("").await;
}

/// Applies what the chart renders, in this way, again after the webhook has written its fields.
async fn assert_settled(way: &str) {
    let _node = empty().await;
    let file = path("rendered.yaml").display().to_string();
    let _ = shell(&format!(
        "helm template azure-workload-identity deploy/chart --namespace {SYSTEM_NAMESPACE} \
         --set azureTenantID={TENANT} >{file}"
    ))
    .await;
    let apply = format!("kubectl apply --filename {file} {way}");
    let _ = shell(&apply).await;
    ready().await;
    let stored = stored().await;
    assert_eq!(certificates(&stored).len(), 1);
    until("caBundle", bundle, |it| *it == stored).await;

    let before = versions(&file).await;
    assert_eq!(writers_of_bundle().await, ["azure-wi-webhook"]);
    // It exits with 1 where there is a difference.
    let difference = shell(&format!("kubectl diff --filename {file} {way}")).await;
    assert_eq!(difference, "");
    let _ = shell(&apply).await;
    assert_eq!(versions(&file).await, before);
    assert_eq!(bundle().await, stored);
}

/// Each object, and the number that grows with each of its changes; where the cluster writes a
/// status, with each change of what is wanted.
async fn versions(file: &str) -> Vec<(String, String)> {
    let printed = kubectl(&["get", "-f", file, "-o", "json"]).await;
    let list: Value = serde_json::from_str(&printed).expect("kubectl prints JSON");
    let items = list["items"].as_array().expect("a list").iter();
    items
        .map(|item| {
            let number = match item.get("status") {
                Some(_) => &item["metadata"]["generation"],
                None => &item["metadata"]["resourceVersion"],
            };
            (
                format!("{} {}", item["kind"], item["metadata"]["name"]),
                number.to_string(),
            )
        })
        .collect()
}

/// Who says that `caBundle` is theirs: the one whom a conflict names.
async fn writers_of_bundle() -> Vec<String> {
    let get = ["get", "mutatingwebhookconfiguration", CONFIGURATION];
    let printed = kubectl(&[&get[..], &["--show-managed-fields", "-o", "json"]].concat()).await;
    let object: Value = serde_json::from_str(&printed).expect("kubectl prints JSON");
    let managers = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let of_bundle = managers.filter(|it| it["fieldsV1"].to_string().contains("f:caBundle"));
    of_bundle
        .filter_map(|it| it["manager"].as_str().map(str::to_owned))
        .collect()
}
