//! The token file of a running container, and its way to Entra.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::variable;
use e2e::{Container, Namespace, kubectl};
use serde_json::{Value, json};

use crate::azwi::{Fault, check, explained, is_named_and_fixed};
use crate::beside_others;
use crate::workload::workload;

/// A workload of one pod, which runs with this container.
async fn running(container: Container) -> Namespace {
    let (namespace, _) = Namespace::with_identity("inside").await;
    let mut object = workload("Deployment", "shop", "app", 1);
    object["spec"]["template"]["spec"]["containers"] = json!([container.manifest()]);
    namespace.apply(&object).await;
    namespace
        .wait("deployment/shop", "condition=Available")
        .await;
    namespace
}

/// Entra reads the issuer's documents here, which nothing else can.
fn arguments(namespace: &Namespace) -> String {
    format!("deployment/shop -n {} --exchange --exec", namespace.name())
}

fn with_file(path: &str, line: &str) -> Container {
    Container::shell("app", line).env(variable::FEDERATED_TOKEN_FILE, path)
}

/// A token that expired in 2001.
fn expired() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "exp": 1_000_000_000, "aud": ["api://AzureADTokenExchange"] });
    format!(
        "{}.{}.c2lnbmF0dXJl",
        part(json!({ "alg": "RS256" })),
        part(claims)
    )
}

#[tokio::test]
async fn a_fresh_token_file_is_said_to_be_one() {
    let _beside = beside_others().await;
    let namespace = running(Container::shell("app", "sleep 100000")).await;
    let arguments = arguments(&namespace);
    let checked = check(&arguments).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let text = explained(&arguments).await;
    assert!(
        text.contains("AZWI-T013") && text.contains("has a valid token"),
        "{text}"
    );
    let without = explained(arguments.trim_end_matches(" --exec")).await;
    assert!(!without.contains("AZWI-T013"), "{without}");
}

#[tokio::test]
async fn a_token_file_that_nothing_renews_is_named() {
    let _beside = beside_others().await;
    let old = with_file("/old", "printf %s \"$OLD\" >/old; sleep 100000").env("OLD", &expired());
    for (container, part) in [
        (old, "nothing renews this file"),
        (
            with_file("/none", "sleep 100000"),
            "No such file or directory",
        ),
        (
            with_file("/etc/hostname", "sleep 100000"),
            "no service account token",
        ),
    ] {
        let namespace = running(container).await;
        let arguments = arguments(&namespace);
        let fault = Fault {
            check: &arguments,
            code: "AZWI-T012",
            object: &format!("Deployment {}/shop", namespace.name()),
            placeholders: &[],
        };
        fault.is_named().await;
        let text = explained(&arguments).await;
        assert!(text.contains(part), "{part}: {text}");
        // Other tests look at the whole cluster.
        kubectl(&["delete", "-n", namespace.name(), "deployment/shop"]).await;
    }
}

#[tokio::test]
async fn a_container_without_cat_is_not_checked() {
    let _beside = beside_others().await;
    let pause = Container::image("app", "registry.example.com/cluster/pause:v1");
    let namespace = running(pause).await;
    let checked = check(&arguments(&namespace)).await;
    assert_eq!(checked.code, Some(2), "{checked:?}");
    let reason = checked.not_checked[0]["reason"]
        .as_str()
        .unwrap_or_default();
    assert!(reason.contains("it has no program cat"), "{checked:?}");
}

/// The node's network enforces no policies, so that the pods run all the same.
#[tokio::test]
async fn policies_that_leave_no_way_to_entra_are_named() {
    let _beside = beside_others().await;
    let (namespace, _) = Namespace::with_identity("closed").await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 0))
        .await;
    namespace
        .apply(&json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": { "name": "default-deny" },
            "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] },
        }))
        .await;
    let object = format!("Deployment {}/shop", namespace.name());
    is_named_and_fixed(&format!("-n {}", namespace.name()), "AZWI-W016", &object).await;
}
