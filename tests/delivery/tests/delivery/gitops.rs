//! GitOps tools apply the chart's manifests repeatedly and look for differences: there must be none.

use delivery::{empty, path, ready, shell};
use e2e::authority::{bundle, certificates, stored};
use e2e::{CONFIGURATION, SYSTEM_NAMESPACE, TENANT, kubectl_json, until};

#[tokio::test]
async fn a_second_server_side_apply_changes_nothing() {
    assert_settled("--server-side --field-manager=argocd-controller").await;
}

#[tokio::test]
async fn a_second_client_side_apply_changes_nothing() {
    assert_settled("").await;
}

/// Applies the rendered chart in this way, and again after the webhook has written its fields.
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

/// Each object with its `resourceVersion`, which grows with every change; where the cluster writes a
/// status, with its `generation`, which grows with every change of the spec.
async fn versions(file: &str) -> Vec<(String, String)> {
    let list = kubectl_json(&["get", "-f", file]).await;
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

/// The field managers that own `caBundle`: an apply conflict names them.
async fn writers_of_bundle() -> Vec<String> {
    let get = ["get", "mutatingwebhookconfiguration", CONFIGURATION];
    let object = kubectl_json(&[&get[..], &["--show-managed-fields"]].concat()).await;
    let managers = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let of_bundle = managers.filter(|it| it["fieldsV1"].to_string().contains("f:caBundle"));
    of_bundle
        .filter_map(|it| it["manager"].as_str().map(str::to_owned))
        .collect()
}
