//! What holds for both forms of the proxy: native sidecar, and plain container.

use contract::annotation;
use serde_json::Value;

use crate::{Container, Identity, Namespace, Pod, claims, kubectl};

/// The spec of a pod with an init container `early`, and containers `app` and `second`.
pub async fn injected(namespace: &Namespace) -> Value {
    let pod = Pod::new("order")
        .with_proxy()
        .init_container(Container::shell("early", "true"))
        .container(Container::shell("app", "true"))
        .container(Container::shell("second", "true"));
    namespace.dry_run(&pod.manifest()).await["spec"].take()
}

/// The names of containers, in order.
///
/// # Panics
/// When it is no list.
pub fn names(containers: &Value) -> Vec<&str> {
    let containers = containers.as_array().expect("a list of containers");
    containers
        .iter()
        .filter_map(|container| container["name"].as_str())
        .collect()
}

/// `kubectl logs` and `kubectl exec`, told no container, land in the user's first one.
///
/// # Panics
/// When they do not.
pub async fn assert_kubectl_means_the_users_container(namespace: &Namespace) {
    let pod = Pod::new("pod").with_proxy().container(
        Container::shell("app", "echo I am the application; sleep infinity")
            .env("ROLE", "application"),
    );
    namespace.apply(&pod.manifest()).await;
    namespace.exec(pod.name(), "app", "true").await;
    let of = ["-n", namespace.name(), "pod/pod"];
    let log = kubectl(&[&["logs"], &of[..]].concat()).await;
    assert!(log.contains("I am the application"), "{log}");
    let printed =
        kubectl(&[&["exec"], &of[..], &["--", "/bin/sh", "-c", "echo $ROLE"]].concat()).await;
    assert!(printed.contains("application"), "{printed}");
    kubectl(&[&["delete", "--wait=false"], &of[..]].concat()).await;
}

/// The application asks once, at once, and gets its token although the proxy has next to no CPU time.
///
/// # Panics
/// When it does not.
pub async fn assert_a_slow_proxy_is_waited_for(namespace: &Namespace, identity: &Identity) {
    let pod = Pod::new("slow")
        .with_proxy()
        .annotate(annotation::PROXY_CPU_LIMIT, "20m")
        .container(Container::asking_imds("app"));
    namespace.apply(&pod.manifest()).await;
    let ended = namespace.container_ended(pod.name(), "app").await;
    let answer = namespace.log(pod.name(), "app").await;
    assert_eq!(ended, 0, "{answer}");
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}
