//! The proxy as a native sidecar: the default with API servers of 1.32 and newer.

use e2e::{Container, Namespace, Pod, claims, sidecar};
use serde_json::json;

#[tokio::test]
async fn a_job_with_the_sidecar_completes() {
    let (namespace, identity) = Namespace::with_identity("job").await;
    let mut template = Pod::new("")
        .with_proxy()
        .container(Container::asking_imds("app"))
        .manifest();
    for field in ["apiVersion", "kind"] {
        template.as_object_mut().expect("a manifest").remove(field);
    }
    namespace
        .apply(&json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "job" },
            "spec": { "backoffLimit": 0, "template": template },
        }))
        .await;
    namespace.wait("job/job", "condition=Complete").await;
    let answer = namespace.log("job/job", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

#[tokio::test]
async fn the_proxy_starts_before_the_users_init_containers() {
    let (namespace, _) = Namespace::with_identity("native").await;
    let spec = sidecar::injected(&namespace).await;
    assert_eq!(
        sidecar::names(&spec["initContainers"]),
        ["azwi-proxy-init", "azwi-proxy", "early"]
    );
    assert_eq!(sidecar::names(&spec["containers"]), ["app", "second"]);
}

#[tokio::test]
async fn kubectl_selects_the_users_container() {
    let (namespace, _) = Namespace::with_identity("kubectl").await;
    sidecar::assert_kubectl_selects_the_users_container(&namespace).await;
}

#[tokio::test]
async fn the_application_waits_for_a_slow_proxy() {
    let (namespace, identity) = Namespace::with_identity("slow").await;
    sidecar::assert_the_application_waits_for_a_slow_proxy(&namespace, &identity).await;
}
