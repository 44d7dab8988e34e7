//! deploy/manifest.yaml, installed without helm.

use contract::variable;
use delivery::{Commands, empty, ready};
use e2e::{Container, Namespace, Pod, TENANT, claims, kubectl};
use serde_json::json;

const MANIFEST: &str = "deploy/manifest.yaml";

#[tokio::test]
async fn installs_and_removes_the_manifest_with_the_commands_of_its_head() {
    let _node = empty().await;
    let _ = Commands::in_head(MANIFEST, "sed 's/TENANT_ID_HERE/")
        .with("<your Microsoft Entra tenant id>", TENANT)
        .run()
        .await;
    ready().await;
    let (namespace, identity) = Namespace::with_identity("manifest").await;
    namespace.run_to_success(&exchanging("before")).await;
    let answer = namespace.log("before", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");

    // Without waiting for the namespace: the replicas serve for some seconds more.
    let remove = Commands::in_head(MANIFEST, "kubectl delete").and("--wait=false");
    let _ = remove.run().await;
    let configurations = kubectl(&["get", "mutatingwebhookconfigurations", "-o", "name"]).await;
    assert!(!configurations.contains("azure-wi"), "{configurations}");
    namespace.dry_run(&exchanging("after").manifest()).await;
}

/// An application that exchanges its token itself, as SDKs with support for Workload ID do.
fn exchanging(name: &str) -> Pod {
    let line = format!(
        "curl --silent --show-error --fail-with-body --cacert /ca.pem \
         --data grant_type=client_credentials --data client_id=${} \
         --data-urlencode scope=https://vault.azure.net/.default \
         --data-urlencode client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
         --data-urlencode client_assertion@${} ${}${}/oauth2/v2.0/token",
        variable::CLIENT_ID,
        variable::FEDERATED_TOKEN_FILE,
        variable::AUTHORITY_HOST,
        variable::TENANT_ID,
    );
    let ca = std::env::var("AZURE_CA_FILE").expect("the test node sets AZURE_CA_FILE");
    Pod::new(name)
        .volume(json!({ "name": "ca", "hostPath": { "path": ca, "type": "File" } }))
        .container(Container::shell("app", &line).mount("ca", "/ca.pem"))
}
