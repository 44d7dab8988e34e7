//! A pod that requests another service account's identity in every possible way.

use contract::annotation;
use e2e::{Container, Identity, Namespace, Pod, claims};
use serde_json::json;

const ASK: &str = "ask() { curl --silent --max-time 60 -H Metadata:true \
    \"http://169.254.169.254/metadata/identity/oauth2/token?resource=https://vault.azure.net${1-}\"; echo; }";

#[tokio::test]
async fn annotations_and_selectors_give_no_other_service_accounts_token() {
    let (namespace, identity) = Namespace::with_identity("forged").await;
    let other = Identity::register(&namespace, "other").await;
    namespace.service_account("other", &other.client_id).await;
    let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/other";
    let injected = json!({ "clientId": identity.client_id, "tenantId": "forged" }).to_string();
    // The other way round: another service account's token for its own identity.
    let ask = format!(
        "{ASK}; ask; ask '&client_id={0}'; ask '&mi_res_id={id}'; \
         echo id: $AZURE_CLIENT_ID",
        other.client_id
    );
    let pod = Pod::new("app")
        .with_proxy()
        .annotate(annotation::CLIENT_ID, &other.client_id)
        .annotate(annotation::TENANT_ID, "attacker.example")
        .annotate(annotation::INJECTED, &injected)
        .annotate(
            annotation::IDENTITY_MAP,
            &format!("{id}={}", other.client_id),
        )
        .container(Container::shell("app", &ask));
    let printed = namespace.apply(&pod.manifest()).await;
    assert!(
        printed.contains("Warning") && printed.contains(annotation::CLIENT_ID),
        "{printed}"
    );
    assert_eq!(namespace.finished("app").await.phase, "Succeeded");

    let log = namespace.log("app", "app").await;
    let answers: Vec<_> = log.lines().filter(|line| line.starts_with('{')).collect();
    let [own, by_client, by_resource] = answers[..] else {
        panic!("three answers: {log}");
    };
    assert_eq!(claims(own)["appid"], identity.client_id, "{own}");
    for refused in [by_client, by_resource] {
        assert!(!refused.contains("access_token"), "{refused}");
        assert!(
            refused.contains("AADSTS700213"),
            "the subject is not the other identity's: {refused}"
        );
    }
    assert!(
        log.contains(&format!("id: {}", identity.client_id)),
        "{log}"
    );
}

/// Kubernetes replaces `$(NAME)` in a variable's value by another variable of the container. A user who
/// may annotate a service account must not get a secret of its pods into AZURE_CLIENT_ID, which
/// applications log.
#[tokio::test]
async fn a_service_account_annotation_cannot_read_a_pods_variables() {
    let namespace = Namespace::new("expanded").await;
    namespace.service_account("app", "$(PASSWORD)").await;
    let show = Container::shell("app", "echo id: $AZURE_CLIENT_ID").env("PASSWORD", "hunter2");
    let pod = Pod::new("app").container(show);
    namespace.apply(&pod.manifest()).await;
    assert_eq!(namespace.finished("app").await.phase, "Succeeded");
    let log = namespace.log("app", "app").await;
    assert_eq!(log.trim(), "id: $(PASSWORD)");
}
