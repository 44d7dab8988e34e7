//! The chart as a Helm release.

use e2e::{DEPLOYMENT, SYSTEM_NAMESPACE, TENANT, kubectl, kubectl_with_input, list, system};
use serde_json::{Value, json};

use crate::shell;

/// Runs helm in the webhook's namespace and returns its output.
pub async fn helm(arguments: &str) -> String {
    shell(&format!("helm {arguments} --namespace {SYSTEM_NAMESPACE}")).await
}

/// Installs the chart with the README's command and these further arguments.
pub async fn install(arguments: &str) {
    let _ = helm(&format!(
        "install azure-workload-identity deploy/chart --create-namespace \
         --set azureTenantID={TENANT} {arguments}"
    ))
    .await;
}

/// Changes values of the release.
pub async fn upgrade(arguments: &str) {
    let _ = helm(&format!(
        "upgrade azure-workload-identity deploy/chart --reuse-values {arguments}"
    ))
    .await;
}

/// Waits until all replicas are ready.
pub async fn ready() {
    system(&["rollout", "status", DEPLOYMENT, "--timeout=120s"]).await;
}

/// Defines the kinds of cert-manager and of the Prometheus operator, without their schemas.
pub async fn kinds_of_others() {
    let kinds = [
        ("cert-manager.io", "v1", "Issuer"),
        ("cert-manager.io", "v1", "Certificate"),
        ("monitoring.coreos.com", "v1", "PodMonitor"),
        ("monitoring.coreos.com", "v1", "ServiceMonitor"),
        ("monitoring.coreos.com", "v1", "PrometheusRule"),
    ];
    let definitions = kinds.map(|(group, version, kind)| definition(group, version, kind));
    kubectl_with_input(&["apply", "-f", "-"], &list(&definitions).to_string()).await;
    for (group, _, kind) in kinds {
        let name = format!("crd/{}s.{group}", kind.to_lowercase());
        kubectl(&[
            "wait",
            "--for=condition=Established",
            &name,
            "--timeout=60s",
        ])
        .await;
    }
}

fn definition(group: &str, version: &str, kind: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "labels": { "azure-workload-identity.io/system": "true" },
        },
        "spec": {
            "group": group,
            "names": { "kind": kind, "plural": plural, "singular": singular },
            "scope": "Namespaced",
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                } },
            }],
        },
    })
}
