//! Removes everything that the previous test installed.

use e2e::{SYSTEM_NAMESPACE, kubectl, kubectl_with_input, until};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

/// The node, locked for one test.
pub struct Node(#[expect(dead_code, reason = "it is held")] MutexGuard<'static, ()>);

/// Waits until no other test uses the node, and removes what the last one left, except for the
/// namespace: deleting that takes longer than most tests.
pub async fn empty() -> Node {
    static NODE: Mutex<()> = Mutex::const_new(());
    let node = Node(NODE.lock().await);
    let selector = "azure-workload-identity.io/system=true";
    let kinds = "mutatingwebhookconfigurations,validatingadmissionpolicybindings,\
        validatingadmissionpolicies,clusterroles,clusterrolebindings,crds";
    kubectl(&["delete", kinds, "--selector", selector]).await;
    // Of docs/migrate-aks-add-on.md: it keeps labelled pods from being created.
    let freeze = "workload-identity-freeze";
    kubectl(&[
        "delete",
        "validatingwebhookconfiguration",
        freeze,
        "--ignore-not-found",
    ])
    .await;
    // Gatekeeper's, beside which no other test runs.
    let webhooks = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
    kubectl(&["delete", webhooks, "--selector", "gatekeeper.sh/system=yes"]).await;
    // Rights go first, so that a terminating replica cannot write any more.
    let kinds = "rolebindings,roles,deployments,services,poddisruptionbudgets,secrets,configmaps,\
        serviceaccounts";
    let namespace = ["--namespace", SYSTEM_NAMESPACE];
    kubectl(&[&["delete", kinds, "--all"], &namespace[..]].concat()).await;
    // Replicas that still end could write into the next installation's Secret.
    let soon = ["--grace-period=1"];
    kubectl(&[&["delete", "pods", "--all"], &soon[..], &namespace].concat()).await;
    let path = "-o=jsonpath={.status.phase}";
    let get = [
        "get",
        "namespace",
        SYSTEM_NAMESPACE,
        path,
        "--ignore-not-found",
    ];
    until(
        "the namespace's end",
        async || kubectl(&get).await,
        |phase| phase != "Terminating",
    )
    .await;
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": SYSTEM_NAMESPACE },
    });
    let namespace = namespace.to_string();
    kubectl_with_input(&["apply", "--server-side", "-f", "-"], &namespace).await;
    node
}
