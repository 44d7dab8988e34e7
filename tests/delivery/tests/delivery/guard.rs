//! The chart's guard: labelled pods that come out of admission without their token, proxy or redirect are warned of,
//! audited or refused, also when the webhook's configuration is gone.

use contract::{annotation, label};
use delivery::{documented, empty, install, shell, upgrade};
use e2e::{
    CONFIGURATION, Container, Namespace, PROXY_IMAGE, Pod, TENANT, audit_of, kubectl,
    kubectl_with_input, try_kubectl, until,
};
use serde_json::{Value, json};

const PAGE: &str = "docs/roll-out.md";
/// By which the API server names the policy.
const GUARD: &str = "ValidatingAdmissionPolicy 'azure-wi-guard'";

#[tokio::test]
async fn the_guard_acts_without_the_webhooks_configuration_and_lets_healthy_pods_pass() {
    let _node = empty().await;
    let (namespace, _) = Namespace::with_identity("guard").await;
    install("--wait --timeout 2m").await;
    let bare = pod("bare");
    let _ = until(
        "an injected pod",
        async || create(&namespace, &bare).await,
        Result::is_ok,
    )
    .await;
    for pod in healthy() {
        let printed = create_aloud(&namespace, &pod).await;
        assert!(!printed.contains(GUARD), "{printed}");
    }
    let restricted = Namespace::new("guard-baseline").await;
    restricted.service_account("app", "none").await;
    let level = "pod-security.kubernetes.io/enforce=baseline";
    kubectl(&["label", "namespace", restricted.name(), level]).await;
    let plain = Pod::new("environment-of-namespace")
        .with_proxy()
        .field("volumes", json!([]))
        .container(Container::image("app", PROXY_IMAGE));
    let printed = create_aloud(&restricted, &plain).await;
    assert!(printed.contains("refuses NET_ADMIN"), "{printed}");
    assert!(!printed.contains(GUARD), "{printed}");

    remove_configuration().await;
    let unlabelled = pod("unlabelled").without_label();
    let opted_out = {
        let mut manifest = pod("opted-out").manifest();
        manifest["metadata"]["labels"][label::USE] = json!("false");
        manifest
    };
    for (pod, sentence) in faulty() {
        let warned = async || create_aloud(&namespace, &pod).await;
        let _ = until("a warning", warned, |it| it.contains(sentence)).await;
        let entry = audit_of("the guard's finding", |event| {
            let finding =
                &event["annotations"]["validation.policy.admission.k8s.io/validation_failure"];
            event["requestURI"]
                .as_str()
                .is_some_and(|it| it.contains(namespace.name()))
                && finding.as_str().is_some_and(|it| it.contains(sentence))
        })
        .await;
        assert_eq!(entry["responseStatus"]["code"], 201, "{entry}");
    }

    upgrade("--set guard.actions={Deny}").await;
    remove_configuration().await;
    for (pod, sentence) in faulty() {
        let is_refused = |it: &Result<String, String>| {
            it.as_ref()
                .is_err_and(|error| error.contains(sentence) && error.contains(GUARD))
        };
        let _ = until(
            "a refusal",
            async || create(&namespace, &pod).await,
            is_refused,
        )
        .await;
    }
    for manifest in [unlabelled.manifest(), opted_out] {
        try_kubectl(&dry_run(&namespace), &manifest.to_string())
            .await
            .expect("the guard does not select it");
    }
    upgrade("--set replicaCount=1 --wait --timeout 2m").await;
    let _ = until(
        "an injected pod",
        async || create(&namespace, &bare).await,
        Result::is_ok,
    )
    .await;
}

#[tokio::test]
async fn the_documented_guard_refuses_before_the_webhook_is_installed() {
    let _node = empty().await;
    let (namespace, _) = Namespace::with_identity("guard-alone").await;
    let bare = pod("bare");
    create(&namespace, &bare).await.expect("no policy yet");
    let apply = documented(PAGE, "kubectl apply --server-side");
    let _ = apply.with("<tenant id>", TENANT).run().await;
    let is_refused =
        |it: &Result<String, String>| it.as_ref().is_err_and(|error| error.contains(GUARD));
    let _ = until(
        "a refusal",
        async || create(&namespace, &bare).await,
        is_refused,
    )
    .await;
    let undo = documented(PAGE, "delete validatingadmissionpolicybinding");
    let _ = undo.run().await;
    let _ = until(
        "no guard",
        async || create(&namespace, &bare).await,
        Result::is_ok,
    )
    .await;

    let file = documented(PAGE, "guard.static=true");
    let file = file.with("<tenant id>", TENANT).run().await;
    assert!(file.is_empty(), "{file}");
    let file = shell("cat azure-wi-guard.yaml && rm azure-wi-guard.yaml").await;
    for name in [
        "azure-wi-guard.static.k8s.io",
        "azure-wi-guard-binding.static.k8s.io",
    ] {
        assert!(file.contains(&format!("name: {name}\n")), "{file}");
    }
}

/// Deletes the webhook's configuration. The API server calls the webhook for a moment longer.
async fn remove_configuration() {
    kubectl(&["delete", "mutatingwebhookconfiguration", CONFIGURATION]).await;
}

fn pod(name: &str) -> Pod {
    Pod::new(name).container(Container::shell("app", "true"))
}

/// Pods in the forms that the documents show.
fn healthy() -> Vec<Pod> {
    vec![
        pod("token"),
        pod("proxy").with_proxy(),
        pod("environment")
            .with_proxy()
            .annotate(annotation::PROXY_MODE, "environment"),
        pod("own-volume").volume(token_volume()),
        pod("skipped").annotate(annotation::SKIP_CONTAINERS, "app"),
        pod("declined").annotate(annotation::INJECT_PROXY_SIDECAR, "false"),
    ]
}

/// Pods as they are without the webhook, with the guard's sentence.
fn faulty() -> Vec<(Pod, &'static str)> {
    let proxy = || Container::image("azwi-proxy", PROXY_IMAGE);
    vec![
        (
            pod("no-token").with_proxy(),
            "no service account token for Microsoft Entra",
        ),
        (
            pod("no-proxy").volume(token_volume()).with_proxy(),
            "and no container azwi-proxy",
        ),
        (
            pod("no-redirect")
                .volume(token_volume())
                .with_proxy()
                .container(proxy()),
            "and no init container azwi-proxy-init",
        ),
        (
            pod("late-redirect")
                .volume(token_volume())
                .with_proxy()
                .init_container(Container::shell("restored", "true"))
                .init_container(Container::image("azwi-proxy-init", PROXY_IMAGE))
                .container(proxy()),
            "has init containers before azwi-proxy-init",
        ),
    ]
}

fn token_volume() -> Value {
    json!({ "name": "own", "projected": { "sources": [
        { "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": "token" } },
    ] } })
}

/// Creates the pod as a dry run.
async fn create(namespace: &Namespace, pod: &Pod) -> Result<String, String> {
    try_kubectl(&dry_run(namespace), &pod.manifest().to_string()).await
}

/// The same, with the warnings.
async fn create_aloud(namespace: &Namespace, pod: &Pod) -> String {
    kubectl_with_input(&dry_run(namespace), &pod.manifest().to_string()).await
}

fn dry_run(namespace: &Namespace) -> [&str; 6] {
    [
        "create",
        "--dry-run=server",
        "--namespace",
        namespace.name(),
        "--filename",
        "-",
    ]
}
