//! Both forms of the proxy, native sidecar and plain container, and the assertions that hold for both.

use contract::annotation;
use contract::container::{PROXY, PROXY_UID};
use serde_json::{Value, json};

use crate::{Container, Identity, Namespace, PROXY_IMAGE, Pod, claims, kubectl};

/// proxy-init with the least rights that it needs.
pub fn redirect(name: &str) -> Container {
    Container::image(name, PROXY_IMAGE)
        .field("command", json!(["/proxy-init"]))
        .field("securityContext", redirect_rights())
}

/// The `securityContext` that proxy-init needs.
pub fn redirect_rights() -> Value {
    rights(0, json!({ "add": ["NET_ADMIN"], "drop": ["ALL"] }))
}

/// Adds this redirect and a plain proxy to the pod, as the webhook does for an older API server. The
/// webhook then adds neither.
#[must_use]
pub fn in_plain_form(pod: Pod, redirect: Container) -> Pod {
    let proxy = plain_proxy(json!({ "type": "RuntimeDefault" }));
    pod.with_proxy().init_container(redirect).container(proxy)
}

/// A proxy as a plain container, under this seccomp profile.
pub fn plain_proxy(seccomp_profile: Value) -> Container {
    let probe = json!({ "postStart": { "exec": { "command": ["/proxy", "--probe"] } } });
    let mut rights = rights(PROXY_UID, json!({ "drop": ["ALL"] }));
    rights["seccompProfile"] = seccomp_profile;
    Container::image(PROXY, PROXY_IMAGE)
        .field("lifecycle", probe)
        .field("securityContext", rights)
}

fn rights(uid: u32, capabilities: Value) -> Value {
    json!({
        "allowPrivilegeEscalation": false, "capabilities": capabilities,
        "readOnlyRootFilesystem": true, "runAsUser": uid, "runAsGroup": uid,
        "runAsNonRoot": uid != 0, "seccompProfile": { "type": "RuntimeDefault" },
    })
}

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
///
/// When the value is no list.
pub fn names(containers: &Value) -> Vec<&str> {
    let containers = containers.as_array().expect("a list of containers");
    containers
        .iter()
        .filter_map(|container| container["name"].as_str())
        .collect()
}

/// Asserts that `kubectl logs` and `kubectl exec` without a container name use the user's first one.
///
/// # Panics
///
/// When they use another.
pub async fn assert_kubectl_selects_the_users_container(namespace: &Namespace) {
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

/// Asserts that an application that requests a token once, as soon as it starts, gets it although the
/// proxy has almost no CPU time.
///
/// # Panics
///
/// When it gets none.
pub async fn assert_the_application_waits_for_a_slow_proxy(
    namespace: &Namespace,
    identity: &Identity,
) {
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
