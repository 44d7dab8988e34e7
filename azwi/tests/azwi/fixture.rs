//! A healthy cluster, with a workload in every form that the documentation shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api_server::Cluster;

pub(crate) const CLIENT_ID: &str = "1b4db7eb-4057-5ddf-91e0-36dec72071f5";
/// The issuer of its tokens.
pub(crate) const ISSUER: &str = "https://issuer.example.com/cluster/";
pub(crate) const SYSTEM: &str = "azure-workload-identity-system";
pub(crate) const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";

/// The resource id of an identity.
pub(crate) fn resource_id(name: &str) -> String {
    format!(
        "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
}

/// A cluster in which nothing is wrong.
pub(crate) fn healthy() -> Cluster {
    let mut objects = installation();
    objects.extend(["prod", "kube-system", SYSTEM].map(|name| {
        let labels = json!({ "kubernetes.io/metadata.name": name });
        json!({ "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
    }));
    objects.push(account("prod", "default", None));
    objects.push(account("prod", "shop", Some(CLIENT_ID)));
    objects.push(account("prod", "plain", None));
    for (kind, name) in [
        ("Deployment", "shop"),
        ("StatefulSet", "store"),
        ("DaemonSet", "agent"),
        ("ReplicaSet", "set"),
        ("ReplicationController", "controller"),
        ("Job", "once"),
        ("CronJob", "nightly"),
    ] {
        objects.push(workload(kind, name, template("shop")));
    }
    objects.push(workload("Deployment", "unrelated", unlabelled("plain")));
    objects.push(workload("Deployment", "by-hand", by_hand()));
    objects.push(workload("Deployment", "opted-out", opted_out()));
    objects.push(workload("Deployment", "several", several()));
    let replica_set = workload("ReplicaSet", "shop-1", template("shop"));
    objects.push(owned(replica_set, "Deployment", "shop"));
    objects.push(owned(pod("shop-1-a", CLIENT_ID), "ReplicaSet", "shop-1"));
    objects.push(owned(pod("rollout-1", CLIENT_ID), "Rollout", "rollout"));
    objects.push(pod("alone", CLIENT_ID));
    Cluster {
        objects,
        ..Cluster::default()
    }
}

fn installation() -> Vec<Value> {
    let authority = testkit::certificate::Authority::new("ca.example").unwrap();
    let selector = json!({ "app": "workload-identity-webhook" });
    vec![
        json!({
            "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": CONFIGURATION },
            "webhooks": [{
                "clientConfig": {
                    "caBundle": STANDARD.encode(authority.certificate()),
                    "service": { "namespace": SYSTEM, "name": "azure-wi-webhook-webhook-service" },
                },
                "name": "mutation.azure-workload-identity.io",
                "failurePolicy": "Fail",
                "namespaceSelector": { "matchExpressions": [
                    { "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"] },
                ] },
                "objectSelector": { "matchLabels": { "azure.workload.identity/use": "true" } },
                "rules": [{ "operations": ["CREATE"], "resources": ["pods"] }],
            }],
        }),
        // Selects every pod, as a service mesh does: not a second installation.
        json!({
            "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": "mesh" },
            "webhooks": [{ "clientConfig": {}, "rules": [{ "operations": ["*"], "resources": ["*"] }] }],
        }),
        json!({
            "kind": "Service",
            "metadata": { "namespace": SYSTEM, "name": "azure-wi-webhook-webhook-service" },
            "spec": { "selector": selector },
        }),
        json!({
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": SYSTEM,
                "name": "slice",
                "labels": { "kubernetes.io/service-name": "azure-wi-webhook-webhook-service" },
            },
            "endpoints": [{ "conditions": { "ready": true } }],
        }),
        json!({
            "kind": "Deployment",
            "metadata": {
                "namespace": SYSTEM,
                "name": "azure-wi-webhook-controller-manager",
                "labels": { "app.kubernetes.io/version": "v0.1.0" },
            },
            "spec": { "replicas": 2, "template": {
                "metadata": { "labels": selector },
                "spec": { "serviceAccountName": "admin", "containers": [{
                    "name": "manager",
                    "image": "registry.example.com:5000/webhook:v0.1.0",
                    "args": ["--log-level=info"],
                    "envFrom": [{ "configMapRef": { "name": "azure-wi-webhook-config" } }],
                }] },
            } },
        }),
        json!({
            "kind": "ConfigMap",
            "metadata": { "namespace": SYSTEM, "name": "azure-wi-webhook-config" },
            "data": { "AZURE_TENANT_ID": "11111111-2222-3333-4444-555555555555" },
        }),
        account(SYSTEM, "admin", None),
    ]
}

pub(crate) fn account(namespace: &str, name: &str, client_id: Option<&str>) -> Value {
    let annotations = match client_id {
        Some(id) => json!({ "azure.workload.identity/client-id": id, "other": "x" }),
        None => Value::Null,
    };
    json!({
        "kind": "ServiceAccount",
        "metadata": { "namespace": namespace, "name": name, "annotations": annotations },
    })
}

/// A workload of any kind, in namespace `prod`.
pub(crate) fn workload(kind: &str, name: &str, template: Value) -> Value {
    let spec = match kind {
        "CronJob" => json!({ "jobTemplate": { "spec": { "template": template } } }),
        _ => json!({ "template": template }),
    };
    json!({ "kind": kind, "metadata": { "namespace": "prod", "name": name }, "spec": spec })
}

/// A labelled template.
pub(crate) fn template(account: &str) -> Value {
    let mut template = unlabelled(account);
    template["metadata"]["labels"]["azure.workload.identity/use"] = json!("true");
    template
}

pub(crate) fn unlabelled(account: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "shop" }, "annotations": {} },
        "spec": { "serviceAccountName": account, "containers": [{ "name": "app", "image": "app" }] },
    })
}

/// A projected token without the webhook.
fn by_hand() -> Value {
    let mut template = unlabelled("shop");
    template["spec"]["volumes"] = token_volume();
    template
}

fn opted_out() -> Value {
    let mut template = unlabelled("shop");
    template["metadata"]["labels"]["azure.workload.identity/use"] = json!("false");
    template
}

/// Every container names its identity itself.
fn several() -> Value {
    let mut template = template("plain");
    template["spec"]["containers"][0]["env"] =
        json!([{ "name": "AZURE_CLIENT_ID", "value": "22222222-2222-2222-2222-222222222222" }]);
    template
}

/// A pod as the webhook left it.
pub(crate) fn pod(name: &str, client_id: &str) -> Value {
    let mut pod = template("shop");
    pod["kind"] = json!("Pod");
    pod["metadata"]["namespace"] = json!("prod");
    pod["metadata"]["name"] = json!(name);
    pod["spec"]["volumes"] = token_volume();
    pod["spec"]["containers"][0]["env"] =
        json!([{ "name": "AZURE_CLIENT_ID", "value": client_id }]);
    pod["status"] = json!({ "phase": "Running" });
    pod
}

pub(crate) fn token_volume() -> Value {
    json!([
        { "name": "azure-identity-token", "projected": { "sources": [
            { "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": "azure-identity-token" } },
        ] } },
        { "name": "kube-api-access", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
    ])
}

pub(crate) fn owned(mut object: Value, kind: &str, name: &str) -> Value {
    object["metadata"]["ownerReferences"] =
        json!([{ "kind": kind, "name": name, "controller": true }]);
    object
}
