//! Security contexts, quotas and Pod Security Standards: accepted and working, or refused with the
//! reason.

use contract::annotation;
use e2e::{Container, Namespace, PROXY_IMAGE, Pod, claims, kubectl};
use serde_json::json;

/// Runs a pod and asserts that its application gets its token.
async fn assert_works(namespace: &Namespace, client_id: &str, pod: Pod) {
    namespace.run_to_success(&pod).await;
    let answer = namespace.log(pod.name(), "app").await;
    assert_eq!(claims(&answer)["appid"], client_id, "{answer}");
}

fn application(name: &str) -> Pod {
    Pod::new(name)
        .with_proxy()
        .container(Container::asking_imds("app").field(
            "securityContext",
            json!({ "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false }),
        ))
}

#[tokio::test]
async fn a_pod_that_runs_as_root_works() {
    let (namespace, identity) = Namespace::with_identity("root").await;
    let pod = application("pod").field("securityContext", json!({ "runAsUser": 0 }));
    assert_works(&namespace, &identity.client_id, pod).await;
}

#[tokio::test]
async fn a_pod_that_must_not_run_as_root_works() {
    let (namespace, identity) = Namespace::with_identity("user").await;
    let context = json!({
        "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let pod = application("pod").field("securityContext", context);
    assert_works(&namespace, &identity.client_id, pod).await;
}

#[tokio::test]
async fn names_the_container_that_runs_as_the_proxys_user() {
    let (namespace, _) = Namespace::with_identity("proxys-user").await;
    let container =
        Container::shell("odd", "true").field("securityContext", json!({ "runAsUser": 1501 }));
    let error = namespace
        .refused(&application("pod").container(container).manifest())
        .await;
    for part in ["\"odd\"", "1501", "azwi-proxy", "Set runAsUser"] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
}

#[tokio::test]
async fn works_in_a_namespace_with_quota_and_default_limits() {
    let (namespace, identity) = Namespace::with_identity("limits").await;
    limit(&namespace).await;
    namespace
        .apply(&json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "limits" },
            "spec": { "limits": [{
                "type": "Container",
                "default": { "cpu": "500m", "memory": "128Mi" },
                "defaultRequest": { "cpu": "10m", "memory": "16Mi" },
                "max": { "cpu": "1", "memory": "256Mi" },
                "min": { "cpu": "1m", "memory": "4Mi" },
            }] },
        }))
        .await;
    assert_works(&namespace, &identity.client_id, application("pod")).await;
}

/// A LimitRange's default for ephemeral storage, as small as a cautious one is, would have the kubelet evict
/// the pod for the proxy's log.
#[tokio::test]
async fn a_guaranteed_pod_stays_guaranteed_and_a_limit_range_sets_no_storage_limit() {
    let (namespace, identity) = Namespace::with_identity("guaranteed").await;
    namespace
        .apply(&json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "limits" },
            "spec": { "limits": [{
                "type": "Container",
                "default": { "ephemeral-storage": "8Mi" },
                "defaultRequest": { "ephemeral-storage": "8Mi" },
            }] },
        }))
        .await;
    let resources = json!({ "limits": { "cpu": "100m", "memory": "64Mi" } });
    let app = Container::asking_imds("app").field("resources", resources);
    let pod = Pod::new("pod").with_proxy().container(app);
    let finished = namespace.run_to_success(&pod).await;
    let answer = namespace.log("pod", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    let pod = serde_json::to_value(finished.pod).expect("a pod is JSON");
    assert_eq!(pod["status"]["qosClass"], "Guaranteed");
    let injected = pod["spec"]["initContainers"].as_array();
    let injected = injected.expect("the webhook adds init containers");
    assert_eq!(injected.len(), 2);
    for container in injected {
        let limits = &container["resources"]["limits"];
        assert_eq!(limits["ephemeral-storage"], "256Mi", "{container}");
    }
}

/// ingress-nginx#5210. The sentences are those of the table in docs/capacity.md.
#[tokio::test]
async fn annotations_fit_the_proxy_into_a_limit_range_with_ratios_and_minimums() {
    let (namespace, identity) = Namespace::with_identity("ratio").await;
    namespace
        .apply(&json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "limits" },
            "spec": { "limits": [{
                "type": "Container",
                "min": { "cpu": "10m", "memory": "16Mi" },
                "maxLimitRequestRatio": { "cpu": "4", "memory": "2" },
            }] },
        }))
        .await;
    let resources = json!({
        "requests": { "cpu": "50m", "memory": "32Mi" },
        "limits": { "cpu": "200m", "memory": "64Mi" },
    });
    let application = |name| {
        Pod::new(name)
            .with_proxy()
            .container(Container::asking_imds("app").field("resources", resources.clone()))
    };
    let error = namespace.refused(&application("pod").manifest()).await;
    for part in [
        "minimum cpu usage per Container is 10m, but request is 2m",
        "minimum memory usage per Container is 16Mi, but request is 8Mi",
        "cpu max limit to request ratio per Container is 4, but no limit is specified or limit is 0",
        "memory max limit to request ratio per Container is 2, but provided ratio is 8",
    ] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
    let pod = application("pod")
        .annotate(annotation::PROXY_CPU_LIMIT, "20m")
        .annotate(annotation::PROXY_MEMORY_LIMIT, "32Mi");
    assert_works(&namespace, &identity.client_id, pod).await;
}

#[tokio::test]
async fn names_the_container_without_a_limit_in_a_namespace_with_quota() {
    let (namespace, identity) = Namespace::with_identity("quota").await;
    limit(&namespace).await;
    let resources = json!({
        "requests": { "cpu": "10m", "memory": "16Mi" },
        "limits": { "cpu": "500m", "memory": "64Mi" },
    });
    let application = |name| {
        Pod::new(name)
            .with_proxy()
            .container(Container::asking_imds("app").field("resources", resources.clone()))
    };

    // Kubernetes names the containers without a limit; the injected ones have no CPU limit.
    let error = namespace.refused(&application("pod").manifest()).await;
    for part in ["must specify limits.cpu", "azwi-proxy", "azwi-proxy-init"] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }

    let pod = application("pod").annotate(annotation::PROXY_CPU_LIMIT, "100m");
    assert_works(&namespace, &identity.client_id, pod).await;
}

async fn limit(namespace: &Namespace) {
    namespace
        .apply(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "quota" },
            "spec": { "hard": {
                "requests.cpu": "2", "requests.memory": "1Gi",
                "limits.cpu": "4", "limits.memory": "1Gi",
            } },
        }))
        .await;
    // The API server refuses every pod until it has counted the quota.
    namespace
        .wait("resourcequota/quota", "jsonpath={.status.used}")
        .await;
}

#[tokio::test]
async fn pod_security_standards_name_the_redirect_that_they_forbid() {
    let (namespace, _) = Namespace::with_identity("standards").await;
    let enforce = |level: &'static str| {
        let name = namespace.name().to_owned();
        async move {
            let label = format!("pod-security.kubernetes.io/enforce={level}");
            kubectl(&["label", "--overwrite", "namespace", &name, &label]).await;
        }
    };
    // Without the machine's folders, which the standards forbid too.
    let restricted = json!({
        "runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
    });
    let container = Container::image("app", PROXY_IMAGE).field("securityContext", restricted);
    let pod = Pod::new("pod")
        .field("volumes", json!([]))
        .container(container);

    enforce("baseline").await;
    let with_redirect = pod
        .clone()
        .with_proxy()
        .annotate(annotation::PROXY_MODE, "redirect");
    let error = namespace.refused(&with_redirect.manifest()).await;
    for part in ["baseline", "azwi-proxy-init", "NET_ADMIN"] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
    assert!(
        !error.contains("\"azwi-proxy\""),
        "the standard allows the proxy itself: {error}"
    );

    // The strictest standard allows the token with its variables, and the proxy without a redirect.
    enforce("restricted").await;
    let without_redirect = pod
        .clone()
        .with_proxy()
        .annotate(annotation::PROXY_MODE, "environment");
    for pod in [pod, without_redirect] {
        let admitted = namespace.dry_run(&pod.manifest()).await;
        let variables = admitted["spec"]["containers"][0]["env"].to_string();
        assert!(
            variables.contains("AZURE_FEDERATED_TOKEN_FILE"),
            "{variables}"
        );
    }
}
