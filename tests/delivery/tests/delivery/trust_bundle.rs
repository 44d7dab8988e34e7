//! The proxies' authorities from a ClusterTrustBundle, which Kubernetes distributes from 1.37 on.

use contract::{container, variable};
use delivery::{Issued, documented, empty, install, ready};
use e2e::{Container, Namespace, Pod, claims, kubectl_with_input, until};
use serde_json::{Value, json};

#[tokio::test]
async fn new_pods_trust_the_authorities_of_a_cluster_trust_bundle() {
    let _node = empty().await;
    install("--wait --timeout 2m").await;
    let azure = std::env::var("AZURE_CA_FILE").expect("the node sets it");
    let azure = std::fs::read_to_string(azure).expect("emulated Azure's authority");
    write_bundle(&azure).await;
    let _ = documented("docs/egress.md", "proxy.caTrustBundle.name=")
        .with("<bundle>", "egress")
        .run()
        .await;
    ready().await;

    let (namespace, identity) = Namespace::with_identity("trust-bundle").await;
    let asking = |name| {
        Pod::new(name)
            .with_proxy()
            .container(Container::asking_imds("app"))
    };
    namespace.run_to_success(&asking("first")).await;
    let answer = namespace.log("first", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");

    let added = Issued::for_the_webhook();
    write_bundle(&format!("{azure}{}", added.authority.certificate())).await;
    let trusted = async || trusted(&namespace.dry_run(&asking("second").manifest()).await);
    let count = |it: &String| it.matches("BEGIN CERTIFICATE").count() == 2;
    until("a new pod that trusts both authorities", trusted, count).await;
}

async fn write_bundle(certificates: &str) {
    let bundle = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "ClusterTrustBundle",
        "metadata": {
            "name": "egress",
            "labels": { "azure-workload-identity.io/system": "true" },
        },
        "spec": { "trustBundle": certificates },
    });
    kubectl_with_input(&["apply", "-f", "-"], &bundle.to_string()).await;
}

/// The certificates that a pod's proxy gets.
fn trusted(pod: &Value) -> String {
    let containers = pod["spec"]["initContainers"]
        .as_array()
        .into_iter()
        .flatten();
    let mut proxies = containers.filter(|it| it["name"] == container::PROXY);
    let variables = proxies.next().and_then(|it| it["env"].as_array());
    let mut variables = variables.into_iter().flatten();
    let data = variables.find(|it| it["name"] == variable::CA_DATA);
    data.and_then(|it| it["value"].as_str())
        .unwrap_or_default()
        .to_owned()
}
