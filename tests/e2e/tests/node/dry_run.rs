//! Dry runs, and the webhook's audit annotations.

use contract::container::PROXY_INIT;
use e2e::{
    Container, Namespace, Pod, WEBHOOK_USER, audit_of, audited, kubectl, kubectl_with_input,
};
use serde_json::Value;

/// The number of the webhook's calls to the API server that change something.
fn writes() -> usize {
    let is_write = |event: &Value| {
        let reads = ["get", "list", "watch"];
        event["user"]["username"] == WEBHOOK_USER
            && !reads.iter().any(|verb| event["verb"] == *verb)
            // Except for its certificates, which it writes apart from reviews.
            && event["objectRef"]["resource"] != "mutatingwebhookconfigurations"
            && event["objectRef"]["resource"] != "secrets"
    };
    audited().iter().filter(|event| is_write(event)).count()
}

fn entry<'a>(namespace: &'a Namespace, name: &'a str) -> impl Fn(&Value) -> bool {
    move |event: &Value| {
        event["objectRef"]["namespace"] == namespace.name()
            && event["objectRef"]["name"] == name
            && event["verb"] == "create"
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let (namespace, _) = Namespace::with_identity("dry").await;
    let manifest = Pod::new("dry")
        .with_proxy()
        .container(Container::shell("app", "true"))
        .manifest()
        .to_string();
    let before = writes();
    let apply = [
        "apply",
        "--dry-run=server",
        "-o",
        "json",
        "-n",
        namespace.name(),
        "-f",
        "-",
    ];
    let printed = kubectl_with_input(&apply, &manifest).await;
    assert!(printed.contains("azwi-proxy-init"), "{printed}");
    audit_of("the dry run", entry(&namespace, "dry")).await;
    assert_eq!(writes(), before, "the webhook wrote something");
    let left = kubectl(&["get", "pods", "-n", namespace.name(), "-o", "name"]).await;
    assert!(!left.contains("pod/"), "{left}");
}

#[tokio::test]
async fn the_audit_log_shows_what_was_injected_and_why() {
    let (namespace, identity) = Namespace::with_identity("audited").await;
    let pod = |name| Pod::new(name).container(Container::shell("app", "true"));
    namespace.apply(&pod("with").with_proxy().manifest()).await;
    namespace.apply(&pod("without").manifest()).await;
    for (name, injected) in [("with", "token,proxy"), ("without", "token")] {
        let event = audit_of(name, entry(&namespace, name)).await;
        let annotated = |key: &str| {
            event["annotations"][format!("mutation.azure-workload-identity.io/{key}")].clone()
        };
        assert_eq!(annotated("injected"), injected, "{event}");
        assert_eq!(annotated("client-id"), identity.client_id, "{event}");
        assert_eq!(annotated("service-account"), "app", "{event}");
    }
}

/// A container with the name of the redirect, of another image, is not taken for the redirect.
#[tokio::test]
async fn the_audit_log_and_a_warning_name_a_container_that_may_not_be_the_webhooks() {
    let (namespace, _) = Namespace::with_identity("unverified").await;
    let pod = Pod::new("pod")
        .with_proxy()
        .init_container(Container::shell(PROXY_INIT, "true"))
        .container(Container::shell("app", "true"));
    let printed = namespace.apply(&pod.manifest()).await;
    let warning = format!("container {PROXY_INIT} may not be the webhook's");
    assert!(printed.contains(&warning), "{printed}");
    let event = audit_of("pod", entry(&namespace, "pod")).await;
    let annotated = |key: &str| {
        event["annotations"][format!("mutation.azure-workload-identity.io/{key}")].clone()
    };
    assert_eq!(annotated("unverified"), PROXY_INIT, "{event}");
    assert_eq!(annotated("injected"), "token", "{event}");
}
