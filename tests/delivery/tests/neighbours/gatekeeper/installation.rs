//! Gatekeeper as its users install it.

use delivery::{Node, empty, shell};
use e2e::{kubectl, kubectl_json, try_kubectl, until};
use serde_json::{Value, json};

use super::workload::workload;

/// The arguments with which the tests install the product, whose proxies trust the emulated Azure.
pub(super) const PRODUCT: &str = "--set-file proxy.caBundle=$AZURE_CA_FILE --wait --timeout 2m";

const KINDS: &str = "constrainttemplates,assign,assignmetadata,assignimage,modifyset";

/// An empty node with Gatekeeper, which enforces nothing.
pub(super) async fn with_gatekeeper() -> Node {
    let node = empty().await;
    let folder = folder();
    let import = format!("tests/lib/import-images tests/neighbours/gatekeeper/images {folder}");
    let _ = shell(&import).await;
    configure("").await;
    kubectl(&["delete", KINDS, "--all"]).await;
    let pod = workload("called")
        .without_label()
        .field("serviceAccountName", json!("default"))
        .manifest()
        .to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    // Both webhooks fail closed, also before they have the authority of their certificate.
    let called = async || try_kubectl(&create, &pod).await;
    let _ = until("Gatekeeper's webhooks", called, Result::is_ok).await;
    node
}

/// Installs or changes Gatekeeper, and waits until it is ready.
pub(super) async fn configure(arguments: &str) {
    let folder = folder();
    let _ = shell(&format!(
        "helm upgrade --install gatekeeper {folder}/charts/gatekeeper \
         --namespace gatekeeper-system --create-namespace \
         --values tests/neighbours/gatekeeper/values.yaml {arguments} --wait --timeout 3m"
    ))
    .await;
}

/// Waits until the webhook acts as these objects of Gatekeeper say, constraints or mutators.
pub(super) async fn until_in_force(kinds: &str) {
    let states = async || kubectl_json(&["get", kinds]).await["items"].take();
    until("Gatekeeper to enforce", states, |items| {
        let items = items.as_array().expect("a list");
        !items.is_empty() && items.iter().all(is_in_force)
    })
    .await;
}

fn is_in_force(object: &Value) -> bool {
    let by_pod = object["status"]["byPod"].as_array();
    let is_webhooks = |it: &&Value| it.to_string().contains("gatekeeper-controller-manager");
    by_pod.into_iter().flatten().filter(is_webhooks).any(|it| {
        it["enforced"] == true && it["observedGeneration"] == object["metadata"]["generation"]
    })
}

fn folder() -> String {
    std::env::var("NEIGHBOUR_GATEKEEPER")
        .expect("NEIGHBOUR_GATEKEEPER is a folder: tests/neighbours/run makes it")
}
