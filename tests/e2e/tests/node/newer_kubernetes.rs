//! What newer versions of Kubernetes let a pod do. Each test names the first that has it on by default.

use contract::container::PROXY;
use e2e::hammer::statuses;
use e2e::{ASK_IMDS, Container, Namespace, Pod, claims, kubectl};
use k8s_openapi::api::core::v1;
use serde_json::json;

/// 1.33: the pod's root, and so `NET_ADMIN` of the redirect, is an ordinary user of the node.
#[tokio::test]
async fn a_pod_with_a_user_namespace_works() {
    let (namespace, identity) = Namespace::with_identity("user-namespace").await;
    let pod = Pod::new("pod")
        .with_proxy()
        .field("hostUsers", json!(false))
        .init_container(Container::shell("users", "cat /proc/self/uid_map"))
        .container(Container::asking_imds("app"));
    namespace.run_to_success(&pod).await;
    let users = namespace.log("pod", "users").await;
    let root = users.split_whitespace().nth(1);
    assert!(root.is_some_and(|user| user != "0"), "{users}");
    let answer = namespace.log("pod", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

/// 1.33: no process of the pod has a group that is not written in it.
#[tokio::test]
async fn a_pod_with_strict_groups_works() {
    let (namespace, identity) = Namespace::with_identity("strict-groups").await;
    let context =
        json!({ "supplementalGroupsPolicy": "Strict", "fsGroup": 4000, "runAsUser": 4001 });
    let pod = Pod::new("pod")
        .with_proxy()
        .field("securityContext", context)
        .container(Container::asking_imds("app"));
    namespace.run_to_success(&pod).await;
    let answer = namespace.log("pod", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

/// 1.33: memory of a running proxy is changed in place.
#[tokio::test]
async fn the_proxys_memory_grows_without_a_restart() {
    let (namespace, identity) = Namespace::with_identity("resize").await;
    let pod = Pod::new("pod")
        .with_proxy()
        .container(Container::shell("app", "sleep infinity"));
    namespace.apply(&pod.manifest()).await;
    namespace
        .until("pod", |pod| {
            sidecar(pod).is_some_and(|it| it.started == Some(true))
        })
        .await;

    let resources = json!({ "requests": { "memory": "96Mi" }, "limits": { "memory": "96Mi" } });
    let patch =
        json!({ "spec": { "initContainers": [{ "name": PROXY, "resources": resources }] } });
    let (patch, name) = (patch.to_string(), namespace.name());
    kubectl(&[
        "patch",
        "pod",
        "pod",
        "-n",
        name,
        "--subresource=resize",
        "--patch",
        &patch,
    ])
    .await;
    let is_resized = |pod: &v1::Pod| sidecar(pod).and_then(memory_limit) == Some("96Mi");
    let pod = namespace.until("pod", is_resized).await;
    assert_eq!(sidecar(&pod).map(|it| it.restart_count), Some(0));
    let answer = namespace.exec("pod", "app", ASK_IMDS).await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

/// 1.36: the init containers run a second time in a network that has the redirect.
#[tokio::test]
async fn a_pod_whose_containers_are_all_restarted_has_one_redirect() {
    let (namespace, identity) = Namespace::with_identity("restart-all").await;
    let rules = json!([{
        "action": "RestartAllContainers",
        "exitCodes": { "operator": "In", "values": [42] },
    }]);
    let line = format!("{ASK_IMDS}; test -e /state/seen || {{ touch /state/seen; exit 42; }}");
    let app = Container::shell("app", &line)
        .field("restartPolicy", json!("Never"))
        .field("restartPolicyRules", rules)
        .writable_mount("state", "/state");
    let pod = Pod::new("pod")
        .with_proxy()
        .volume(json!({ "name": "state", "emptyDir": {} }))
        .container(app);
    let finished = namespace.run_to_success(&pod).await;
    let answer = namespace.log("pod", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    for status in statuses(&finished.pod) {
        assert_eq!(status.restart_count, 1, "{}", status.name);
    }
}

fn sidecar(pod: &v1::Pod) -> Option<&v1::ContainerStatus> {
    statuses(pod).find(|status| status.name == PROXY)
}

/// The limit that the kubelet has set, which is not the one of the pod's spec while a change is under way.
fn memory_limit(status: &v1::ContainerStatus) -> Option<&str> {
    let limits = status.resources.as_ref()?.limits.as_ref()?;
    Some(&limits.get("memory")?.0)
}
