//! The first install, on a cluster with labelled pods: one runs already, one waits for the webhook.

use delivery::{empty, install, upgrade};
use e2e::{Container, Namespace, Pod, kubectl, kubectl_json, until};
use serde_json::Value;

#[tokio::test]
async fn a_waiting_pod_starts_and_the_webhook_does_not_wait_for_itself() {
    let _node = empty().await;
    let (namespace, identity) = Namespace::with_identity("waiting").await;
    let sleeping = |name| Pod::new(name).container(Container::shell("app", "exec sleep infinity"));
    // Without a webhook configuration, the pod gets no identity.
    namespace.apply(&sleeping("early").manifest()).await;
    namespace.exec("early", "app", "true").await;

    // With the configuration but no replica, the API server refuses the pod.
    install("--set replicaCount=0").await;
    namespace.apply(&sleeping("late").deployment(1)).await;
    let refusals = async || {
        let failed = "--field-selector=reason=FailedCreate";
        kubectl(&["get", "events", "-n", namespace.name(), failed]).await
    };
    let reason = "failed calling webhook \"mutation.azure-workload-identity.io\"";
    until("a refusal", refusals, |events| events.contains(reason)).await;

    // The webhook's own pods have the label, too.
    let own = r"--set-string 'podLabels.azure\.workload\.identity/use=true'";
    upgrade(&format!("{own} --set replicaCount=2 --wait --timeout 2m")).await;
    namespace
        .wait("deployment/late", "condition=Available")
        .await;
    let late = pod(&namespace, &["--selector=app=late"]).await;
    let environment = late["items"][0]["spec"]["containers"][0]["env"].to_string();
    assert!(environment.contains(&identity.client_id), "{environment}");

    // The earlier pod is unchanged.
    let early = pod(&namespace, &["early"]).await;
    assert_eq!(early["status"]["phase"], "Running");
    assert!(
        !early.to_string().contains("azure-identity-token"),
        "{early}"
    );
}

async fn pod(namespace: &Namespace, which: &[&str]) -> Value {
    kubectl_json(&[&["get", "pods", "-n", namespace.name()], which].concat()).await
}
