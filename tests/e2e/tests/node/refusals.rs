//! Mistakes in a pod: the user sees the reason in kubectl's error or warning.

use contract::annotation;
use e2e::{Container, Namespace, Pod};
use serde_json::json;

fn plain(name: &str) -> Pod {
    Pod::new(name)
        .with_proxy()
        .container(Container::shell("app", "true"))
}

/// kubectl's error for a pod that is refused.
async fn refusal(pod: Pod) -> String {
    let (namespace, _) = Namespace::with_identity("refused").await;
    namespace.refused(&pod.manifest()).await
}

#[tokio::test]
async fn denies_the_sidecar_on_the_host_network() {
    let error = refusal(plain("host").field("hostNetwork", json!(true))).await;
    assert!(
        error.contains("hostNetwork is set to true, cannot inject proxy sidecar"),
        "{error}"
    );
}

#[tokio::test]
async fn denies_the_sidecar_on_windows() {
    let pods = [
        plain("os").field("os", json!({ "name": "windows" })),
        plain("selector").field("nodeSelector", json!({ "kubernetes.io/os": "windows" })),
        plain("affinity").field(
            "affinity",
            json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [
                    { "key": "beta.kubernetes.io/os", "operator": "In", "values": ["windows"] },
                ] }],
            } } }),
        ),
        plain("host-process").field("hostNetwork", json!(true)).field(
            "securityContext",
            json!({ "windowsOptions": { "hostProcess": true, "runAsUserName": "ContainerUser" } }),
        ),
    ];
    for pod in pods {
        let error = refusal(pod).await;
        assert!(
            error.contains("the pod runs on Windows, cannot inject proxy sidecar"),
            "{error}"
        );
        assert!(error.contains(annotation::INJECT_PROXY_SIDECAR), "{error}");
    }
}

#[tokio::test]
async fn denies_a_sidecar_annotation_that_is_neither_true_nor_false() {
    let error = refusal(plain("maybe").annotate(annotation::INJECT_PROXY_SIDECAR, "maybe")).await;
    assert!(error.contains(annotation::INJECT_PROXY_SIDECAR), "{error}");
    assert!(error.contains("\"maybe\""), "{error}");
    assert!(
        error.contains("\"true\"") && error.contains("\"false\""),
        "{error}"
    );
}

#[tokio::test]
async fn denies_a_port_out_of_range() {
    let error = refusal(plain("port").annotate(annotation::PROXY_SIDECAR_PORT, "70000")).await;
    assert!(error.contains(annotation::PROXY_SIDECAR_PORT), "{error}");
    assert!(
        error.contains("70000") && error.contains("65535"),
        "{error}"
    );
}

#[tokio::test]
async fn denies_a_token_lifetime_that_is_too_short() {
    let pod = plain("short").annotate(annotation::SERVICE_ACCOUNT_TOKEN_EXPIRATION, "60");
    let error = refusal(pod).await;
    assert!(
        error.contains(annotation::SERVICE_ACCOUNT_TOKEN_EXPIRATION),
        "{error}"
    );
    assert!(
        error.contains("60") && error.contains("3600") && error.contains("86400"),
        "{error}"
    );
    assert!(
        error.contains("pod"),
        "the error names the object with the annotation: {error}"
    );
}

#[tokio::test]
async fn denies_a_pod_that_runs_as_the_proxys_user() {
    let error = refusal(plain("uid").field("securityContext", json!({ "runAsUser": 1501 }))).await;
    assert!(error.contains("1501"), "{error}");
}

#[tokio::test]
async fn warns_of_a_service_account_without_client_id() {
    let namespace = Namespace::new("warned").await;
    namespace
        .apply(
            &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "app" } }),
        )
        .await;
    let pod = Pod::new("warned").container(Container::shell("app", "true"));
    let printed = namespace.apply(&pod.manifest()).await;
    assert!(printed.contains("Warning:"), "{printed}");
    assert!(printed.contains(annotation::CLIENT_ID), "{printed}");
}

#[tokio::test]
async fn a_correct_pod_gets_no_warning() {
    let (namespace, _) = Namespace::with_identity("quiet").await;
    let printed = namespace.apply(&plain("quiet").manifest()).await;
    assert!(!printed.contains("Warning"), "{printed}");
}
