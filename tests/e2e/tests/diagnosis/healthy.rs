//! A cluster full of healthy workloads, in every form that the documentation shows.

use std::fs;

use contract::{annotation, label};
use e2e::{Container, Identity, Namespace, kubectl, kubectl_with_input, until};
use serde_json::{Value, json};

use crate::alone;
use crate::azwi::{check, explained};
use crate::workload::{pod_spec, workload};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/examples");

#[tokio::test]
async fn nothing_is_found_in_a_healthy_cluster() {
    let _alone = alone().await;
    let namespace = examples().await;
    let forms = forms().await;
    let restricted = restricted().await;
    let wait = [
        "wait",
        "--for=condition=available",
        "--timeout=180s",
        "deployment/running",
    ];
    kubectl(&[&["-n", forms.name()], &wait[..]].concat()).await;

    let checked = check("").await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.not_checked.is_empty(), "{checked:?}");
    for namespace in [&namespace, &forms, &restricted] {
        let checked = check(&format!("-n {}", namespace.name())).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }
    let information = explained("").await;
    for code in ["W0", "F0", "T0"] {
        assert!(
            !information.contains(&format!("AZWI-{code}")),
            "{information}"
        );
    }
    // One workload, with its token and a real exchange.
    let one = format!("deployment/running -n {} --exchange", forms.name());
    let checked = check(&one).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let text = explained(&one).await;
    assert!(text.contains("AZWI-F009"), "{text}");
    assert!(
        text.contains("az role assignment list --all --assignee "),
        "{text}"
    );
}

/// The examples, as a user applies them.
async fn examples() -> Namespace {
    let namespace = Namespace::new("healthy-examples").await;
    let identity = Identity::register(&namespace, "my-app").await;
    for file in [
        "service-account",
        "cron-job",
        "legacy-app",
        "manual-form",
        "several-identities",
    ] {
        let text = fs::read_to_string(format!("{EXAMPLES}/{file}.yaml")).expect("it is there");
        let text = text.replace("00000000-0000-0000-0000-000000000000", &identity.client_id);
        let text = text.replace(
            "registry.example.com/curl\n",
            "registry.example.com/curl:v1\n",
        );
        kubectl_with_input(&["apply", "-n", namespace.name(), "-f", "-"], &text).await;
    }
    namespace
}

/// The example for a namespace under the Pod Security Standard `restricted`.
async fn restricted() -> Namespace {
    let (namespace, _) = Namespace::with_identity("healthy-restricted").await;
    let enforce = format!("{}=restricted", label::POD_SECURITY_ENFORCE);
    kubectl(&["label", "namespace", namespace.name(), &enforce]).await;
    let text =
        fs::read_to_string(format!("{EXAMPLES}/environment-mode.yaml")).expect("it is there");
    let text = text.replace("serviceAccountName: my-app", "serviceAccountName: app");
    kubectl_with_input(&["apply", "-n", namespace.name(), "-f", "-"], &text).await;
    namespace
}

/// Every kind with a pod template, at zero replicas and with running pods, and pods without the webhook.
async fn forms() -> Namespace {
    let (namespace, identity) = Namespace::with_identity("healthy-forms").await;
    let identity = &identity.client_id;
    let objects = [
        workload("Deployment", "idle", "app", 0),
        workload("Deployment", "running", "app", 2),
        workload("StatefulSet", "store", "app", 1),
        workload("DaemonSet", "agent", "app", 1),
        workload("ReplicaSet", "set", "app", 1),
        workload("ReplicationController", "controller", "app", 1),
        workload("Job", "job", "app", 1),
        workload("CronJob", "nightly", "app", 1),
        proxied(workload("Deployment", "proxied", "app", 1)),
        without_label(workload("Deployment", "unrelated", "default", 1)),
        by_hand(
            without_label(workload("Deployment", "by-hand", "app", 1)),
            identity,
        ),
        opted_out(workload("Deployment", "opted-out", "app", 1)),
        several(workload("Deployment", "several", "default", 1), identity),
        bare(),
    ];
    for object in &objects {
        namespace.apply(object).await;
    }
    let pods = async || {
        let path = "jsonpath={range .items[?(@.status.phase==\"Running\")]}x{end}";
        kubectl(&["get", "pods", "-n", namespace.name(), "-o", path]).await
    };
    until("some pods of every kind", pods, |it| it.len() >= 8).await;
    namespace
}

fn template(object: &mut Value) -> &mut Value {
    &mut object["spec"]["template"]
}

fn proxied(mut object: Value) -> Value {
    template(&mut object)["metadata"]["annotations"] =
        json!({ annotation::INJECT_PROXY_SIDECAR: "true" });
    object
}

fn without_label(mut object: Value) -> Value {
    let labels = template(&mut object)["metadata"]["labels"].as_object_mut();
    labels.expect("labels").remove(label::USE);
    object
}

fn opted_out(mut object: Value) -> Value {
    template(&mut object)["metadata"]["labels"][label::USE] = json!("false");
    object
}

/// A token and variables of its own, without the webhook.
fn by_hand(mut object: Value, client_id: &str) -> Value {
    let spec = &mut template(&mut object)["spec"];
    let source = json!({ "serviceAccountToken": {
        "audience": contract::token::DEFAULT_AUDIENCE, "path": "token", "expirationSeconds": 3600,
    } });
    spec["volumes"]
        .as_array_mut()
        .expect("volumes")
        .push(json!({
            "name": "azure-token", "projected": { "sources": [source] },
        }));
    spec["containers"][0]["env"] = json!([{ "name": "AZURE_CLIENT_ID", "value": client_id }]);
    object
}

/// Every container names its identity.
fn several(mut object: Value, client_id: &str) -> Value {
    template(&mut object)["spec"]["containers"][0]["env"] =
        json!([{ "name": "AZURE_CLIENT_ID", "value": client_id }]);
    object
}

/// A pod that nothing owns.
fn bare() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "bare", "labels": { label::USE: "true" } },
        "spec": pod_spec("app", Container::shell("app", "sleep 100000"), "Always"),
    })
}
