//! Which value of a variable wins (W18).

use e2e::{Container, Namespace, Pod};
use serde_json::{Value, json};

const PRINT: &str = "env | grep ^AZURE_ | sort";

async fn bring(namespace: &Namespace) -> Value {
    namespace
        .apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" },
            "data": { "AZURE_CLIENT_ID": "from-the-map", "AZURE_TENANT_ID": "from-the-map" },
        }))
        .await;
    json!([{ "configMapRef": { "name": "settings" } }])
}

#[tokio::test]
async fn keeps_the_users_value_of_a_variable() {
    let (namespace, identity) = Namespace::with_identity("own").await;
    let own = Container::shell("own", PRINT)
        .env("AZURE_TENANT_ID", "the-users-own")
        .env("AZURE_AUTHORITY_HOST", "");
    let pod = Pod::new("pod").container(own);
    namespace.run_to_success(&pod).await;
    let log = namespace.log("pod", "own").await;
    assert!(log.contains("AZURE_TENANT_ID=the-users-own\n"), "{log}");
    assert!(log.contains("AZURE_AUTHORITY_HOST=\n"), "{log}");
    assert!(
        log.contains(&format!("AZURE_CLIENT_ID={}\n", identity.client_id)),
        "{log}"
    );
}

/// The kubelet replaces `$(NAME)` with a variable that comes before it.
#[tokio::test]
async fn the_users_variable_may_refer_to_an_injected_one() {
    let (namespace, identity) = Namespace::with_identity("reference").await;
    let app = Container::shell("app", "echo own: $OWN").env("OWN", "id=$(AZURE_CLIENT_ID)");
    namespace
        .run_to_success(&Pod::new("pod").container(app))
        .await;
    let log = namespace.log("pod", "app").await;
    assert_eq!(log, format!("own: id={}\n", identity.client_id));
}

/// The pod does not say which names a ConfigMap brings. The webhook sets no variable for which the
/// service account has no value, since an empty one would hide the ConfigMap's (azwi#1555). A value
/// of the service account wins.
#[tokio::test]
async fn a_config_map_fills_what_the_service_account_leaves_unset() {
    let namespace = Namespace::new("map").await;
    namespace
        .apply(
            &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "app" } }),
        )
        .await;
    let from = bring(&namespace).await;
    let pod = Pod::new("pod").container(Container::shell("app", PRINT).field("envFrom", from));
    let printed = namespace.apply(&pod.manifest()).await;
    // The ConfigMap may set it.
    assert!(!printed.contains("Warning"), "{printed}");
    namespace.finished("pod").await;
    let log = namespace.log("pod", "app").await;
    assert!(log.contains("AZURE_CLIENT_ID=from-the-map\n"), "{log}");
    assert!(
        log.contains(&format!("AZURE_TENANT_ID={}\n", e2e::TENANT)),
        "{log}"
    );
}
