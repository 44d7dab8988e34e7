//! Causes in a workload, its service account and its namespace.

use contract::{annotation, label};
use e2e::program::run;
use e2e::{Container, Identity, Namespace, kubectl};
use serde_json::{Value, json};

use crate::azwi::{Fault, check, explained, is_named_and_fixed};
use crate::beside_others;

/// An object of this kind, whose labelled template has this service account.
pub(crate) fn workload(kind: &str, name: &str, account: &str, replicas: u32) -> Value {
    let is_job = matches!(kind, "Job" | "CronJob");
    let restart = if is_job { "Never" } else { "Always" };
    let labels = json!({ "app": name, label::USE: "true" });
    let container = Container::shell("app", "sleep 100000");
    let template = json!({
        "metadata": { "labels": labels },
        "spec": pod_spec(account, container, restart),
    });
    let selector = json!({ "matchLabels": { "app": name } });
    let (version, spec) = match kind {
        "Job" => (
            "batch/v1",
            json!({ "suspend": replicas == 0, "template": template }),
        ),
        "CronJob" => (
            "batch/v1",
            json!({ "schedule": "0 3 * * *", "jobTemplate": { "spec": { "template": template } } }),
        ),
        "ReplicationController" => (
            "v1",
            json!({ "replicas": replicas, "selector": { "app": name }, "template": template }),
        ),
        "DaemonSet" => (
            "apps/v1",
            json!({ "selector": selector, "template": template }),
        ),
        _ => (
            "apps/v1",
            json!({ "replicas": replicas, "selector": selector, "template": template }),
        ),
    };
    let mut object = json!({
        "apiVersion": version, "kind": kind, "metadata": { "name": name }, "spec": spec,
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    object
}

/// A pod's spec with one container.
pub(crate) fn pod_spec(account: &str, container: Container, restart: &str) -> Value {
    let pod = e2e::Pod::new("unused").container(container);
    let mut spec = pod.manifest()["spec"].clone();
    spec["serviceAccountName"] = json!(account);
    spec["restartPolicy"] = json!(restart);
    spec
}

fn template_of(object: &mut Value) -> &mut Value {
    if object["kind"] == "CronJob" {
        &mut object["spec"]["jobTemplate"]["spec"]["template"]
    } else {
        &mut object["spec"]["template"]
    }
}

fn set_label(object: &mut Value, value: Option<&str>) {
    let labels = &mut template_of(object)["metadata"]["labels"];
    match value {
        Some(value) => labels[label::USE] = json!(value),
        None => drop(labels.as_object_mut().expect("labels").remove(label::USE)),
    }
}

#[tokio::test]
async fn a_template_without_the_label_is_named() {
    let _beside = beside_others().await;
    for (kind, replicas) in [
        ("Deployment", 1),
        ("StatefulSet", 0),
        ("DaemonSet", 1),
        ("CronJob", 1),
        ("Job", 0),
    ] {
        let (namespace, _) = Namespace::with_identity("label").await;
        let mut object = workload(kind, "shop", "app", replicas);
        set_label(&mut object, (kind == "CronJob").then_some("True"));
        // The label counts on the template alone.
        object["metadata"]["labels"] = json!({ label::USE: "true" });
        namespace.apply(&object).await;
        is_named_and_fixed(
            &format!("-n {}", namespace.name()),
            "AZWI-W001",
            &format!("{kind} {}/shop", namespace.name()),
        )
        .await;
    }
}

/// A pod without an owner.
#[tokio::test]
async fn a_pod_without_the_label_is_named() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("label-pod").await;
    let pod = e2e::Pod::new("shop").without_label();
    let pod = pod.container(Container::shell("app", "sleep 100000"));
    namespace.apply(&pod.manifest()).await;
    is_named_and_fixed(
        &format!("-n {}", namespace.name()),
        "AZWI-W001",
        &format!("Pod {}/shop", namespace.name()),
    )
    .await;
}

#[tokio::test]
async fn a_service_account_without_client_id_is_named() {
    let _beside = beside_others().await;
    let namespace = Namespace::new("client-id").await;
    let identity = Identity::register(&namespace, "app").await;
    kubectl(&["create", "serviceaccount", "app", "-n", namespace.name()]).await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 1))
        .await;
    namespace
        .wait("deployment/shop", "condition=available")
        .await;
    let fault = Fault {
        check: &format!("-n {}", namespace.name()),
        code: "AZWI-S001",
        object: &format!("ServiceAccount {}/app", namespace.name()),
        placeholders: &[("<client id>", &identity.client_id)],
    };
    fault.is_named_and_fixed().await;
}

#[tokio::test]
async fn a_client_id_on_the_wrong_object_is_named() {
    let _beside = beside_others().await;
    for place in ["object", "template", "namespace"] {
        let namespace = Namespace::new("misplaced").await;
        let identity = Identity::register(&namespace, "app").await;
        kubectl(&["create", "serviceaccount", "app", "-n", namespace.name()]).await;
        let mut object = workload("Deployment", "shop", "app", 0);
        let annotations = json!({ annotation::CLIENT_ID: identity.client_id });
        match place {
            "object" => object["metadata"]["annotations"] = annotations,
            "template" => template_of(&mut object)["metadata"]["annotations"] = annotations,
            _ => {
                let annotation = format!("{}={}", annotation::CLIENT_ID, identity.client_id);
                kubectl(&["annotate", "namespace", namespace.name(), &annotation]).await;
            }
        }
        namespace.apply(&object).await;
        is_named_and_fixed(
            &format!("-n {}", namespace.name()),
            "AZWI-S002",
            &format!("ServiceAccount {}/app", namespace.name()),
        )
        .await;
    }
}

/// The client id changed after the pods were created.
#[tokio::test]
async fn pods_with_an_old_client_id_are_named() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("stale").await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 1))
        .await;
    namespace
        .wait("deployment/shop", "condition=available")
        .await;
    let identity = Identity::register(&namespace, "app").await;
    namespace.service_account("app", &identity.client_id).await;
    is_named_and_fixed(
        &format!("-n {}", namespace.name()),
        "AZWI-W007",
        &format!("Deployment {}/shop", namespace.name()),
    )
    .await;
}

/// The command opens an editor: this one removes the variable.
#[tokio::test]
async fn a_client_secret_beside_the_identity_is_named() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("secret").await;
    let mut object = workload("Deployment", "shop", "app", 0);
    template_of(&mut object)["spec"]["containers"][0]["env"] =
        json!([{ "name": "AZURE_CLIENT_SECRET", "value": "unused" }]);
    namespace.apply(&object).await;
    let args = format!("-n {}", namespace.name());
    let fault = Fault {
        check: &args,
        code: "AZWI-W004",
        object: &format!("Deployment {}/shop", namespace.name()),
        placeholders: &[],
    };
    let fix = fault.is_named().await;
    let editor = r#"sed -i "/- name: AZURE_CLIENT_SECRET/,+1d""#;
    run(&format!("KUBE_EDITOR='{editor}' {fix}")).await;
    let checked = check(&args).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test]
async fn a_workload_without_the_proxy_is_said_to_need_a_current_sdk() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("sdk").await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 0))
        .await;
    let text = explained(&format!(
        "deployment/shop -n {} --exchange",
        namespace.name()
    ))
    .await;
    assert!(text.contains("AZWI-W009"), "{text}");
}

/// A service account that does not exist.
#[tokio::test]
async fn an_absent_service_account_is_named() {
    let _beside = beside_others().await;
    let namespace = Namespace::new("absent").await;
    let identity = Identity::register(&namespace, "app").await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 1))
        .await;
    let fault = Fault {
        check: &format!("-n {}", namespace.name()),
        code: "AZWI-S003",
        object: &format!("ServiceAccount {}/app", namespace.name()),
        placeholders: &[("<client id>", &identity.client_id)],
    };
    fault.is_named_and_fixed().await;
}

/// The template names no service account.
#[tokio::test]
async fn the_default_service_account_in_place_of_another_is_named() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("default").await;
    namespace
        .apply(&workload("Deployment", "shop", "", 1))
        .await;
    is_named_and_fixed(
        &format!("-n {}", namespace.name()),
        "AZWI-S010",
        &format!("Deployment {}/shop", namespace.name()),
    )
    .await;
}

/// The Pod Security Standard refuses the init container of mode redirect.
#[tokio::test]
async fn a_redirect_that_pod_security_refuses_is_named() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("security").await;
    let enforce = format!("{}=baseline", label::POD_SECURITY_ENFORCE);
    kubectl(&["label", "namespace", namespace.name(), &enforce]).await;
    let mut object = workload("Deployment", "shop", "app", 1);
    let template = template_of(&mut object);
    template["metadata"]["annotations"] = json!({
        annotation::INJECT_PROXY_SIDECAR: "true",
        annotation::PROXY_MODE: "redirect",
    });
    // The machine's programs are volumes that the standard refuses, too.
    template["spec"]["volumes"] = json!([]);
    template["spec"]["containers"] =
        json!([{ "name": "app", "image": "registry.example.com/cluster/pause:v1" }]);
    namespace.apply(&object).await;
    is_named_and_fixed(
        &format!("-n {}", namespace.name()),
        "AZWI-W008",
        &format!("Deployment {}/shop", namespace.name()),
    )
    .await;
}

/// Only the quota's owner knows what to do.
#[tokio::test]
async fn a_quota_that_refuses_the_pods_is_named() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("quota").await;
    kubectl(&[
        "create",
        "quota",
        "none",
        "--hard=pods=0",
        "-n",
        namespace.name(),
    ])
    .await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 0))
        .await;
    let args = format!("-n {}", namespace.name());
    let fault = Fault {
        check: &args,
        code: "AZWI-W015",
        object: &format!("Deployment {}/shop", namespace.name()),
        placeholders: &[],
    };
    fault.is_named().await;
    let checked = check(&args).await;
    assert!(
        checked.findings[0].cause.contains("exceeded quota: none"),
        "{checked:?}"
    );
    kubectl(&["delete", "quota", "none", "-n", namespace.name()]).await;
    let checked = check(&args).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
