//! The first install, on a cluster where labelled pods are already there or wait.

use contract::label;
use delivery::{empty, install, upgrade};
use e2e::{Container, Namespace, Pod, kubectl, until};
use serde_json::{Value, json};

#[tokio::test]
async fn pods_that_wait_start_and_nothing_waits_in_a_circle() {
    let _node = empty().await;
    let (namespace, identity) = Namespace::with_identity("waiting").await;
    let sleeping = |name| Pod::new(name).container(Container::shell("app", "exec sleep infinity"));
    // Nothing is there yet: nobody asks for an identity, and it gets none.
    namespace.apply(&sleeping("early").manifest()).await;
    namespace.exec("early", "app", "true").await;

    // The configuration is there and its webhook is not.
    install("--set replicaCount=0").await;
    namespace.apply(&deployment(&sleeping("late"))).await;
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

    // Those of before run on as they are.
    let early = pod(&namespace, &["early"]).await;
    assert_eq!(early["status"]["phase"], "Running");
    assert!(
        !early.to_string().contains("azure-identity-token"),
        "{early}"
    );
}

async fn pod(namespace: &Namespace, which: &[&str]) -> Value {
    let get = ["get", "pods", "-n", namespace.name(), "-o", "json"];
    let printed = kubectl(&[&get[..], which].concat()).await;
    serde_json::from_str(&printed).expect("kubectl prints JSON")
}

fn deployment(pod: &Pod) -> Value {
    let pod = pod.manifest();
    let mut spec = pod["spec"].clone();
    spec["restartPolicy"] = json!("Always");
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": pod["metadata"]["name"] },
        "spec": {
            "selector": { "matchLabels": { "app": pod["metadata"]["name"] } },
            "template": {
                "metadata": { "labels": { "app": pod["metadata"]["name"], label::USE: "true" } },
                "spec": spec,
            },
        },
    })
}
