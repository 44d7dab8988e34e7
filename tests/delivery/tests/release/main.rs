//! From an empty registry to a working pod, with the commands of the README and of the quick start. The node pulls
//! what `make release` has pushed.

use delivery::{Commands, Registry, documented, empty};
use e2e::{TENANT, kubectl_json};
use serde_json::Value;

const README: &str = "README.md";
const QUICK_START: &str = "docs/first-workload.md";

/// What the quick start's commands of `az` do, in the emulated Azure.
const AZ: &str = r#"
    source tests/lib/azure.sh
    client_id=88888888-0000-4000-8000-000000000000
    register_identity $client_id $namespace $account
    register_secret $vault my-secret hello $client_id
"#;

#[tokio::test]
async fn a_release_into_an_empty_registry_gives_a_pod_its_token() {
    let _node = empty().await;
    let _registry = Registry::start().await;
    let checkout = std::env::var("RELEASE_CHECKOUT")
        .expect("RELEASE_CHECKOUT is a clean checkout: tests/release/run makes it");

    let _ = of_registry(documented(README, "make release"))
        .with("<password>", "test")
        .after(&format!("cd {checkout}\nrm -f cosign.key cosign.pub"))
        .run()
        .await;
    // The emulated Entra has a certificate of its own.
    let _ = of_registry(documented(README, "helm install"))
        .with("<tenant id>", TENANT)
        .and("--set-file proxy.caBundle=$AZURE_CA_FILE --wait --timeout 3m")
        .run()
        .await;
    let webhooks = kubectl_json(&["get", "pods", "-n", e2e::SYSTEM_NAMESPACE]).await;
    let webhooks = webhooks["items"].as_array().expect("a list");
    assert_eq!(webhooks.len(), 2);
    for webhook in webhooks {
        assert_pulled(webhook, "containerStatuses", "webhook");
    }

    let pod = documented(QUICK_START, "kubectl wait")
        .with("docker.io/curlimages/curl", "registry.example.com/curl:v1")
        // The emulated vault's certificate, as Entra's.
        .with(
            "--header \"Authorization",
            "--insecure --header \"Authorization",
        );
    let printed = documented(QUICK_START, "vault=wi-test-")
        .then(&AZ.into())
        .then(&documented(QUICK_START, "kubectl create serviceaccount"))
        .then(&pod)
        .then(&documented(QUICK_START, "--container app"))
        .then(&documented(QUICK_START, "--container azwi-proxy"))
        .run()
        .await;
    assert!(printed.contains(r#""value":"hello""#), "{printed}");
    assert!(printed.contains("successfully acquired token"), "{printed}");
    let pod = kubectl_json(&["get", "pod", "quick-start"]).await;
    assert_pulled(&pod, "initContainerStatuses", "proxy");
}

fn of_registry(commands: Commands) -> Commands {
    commands.with("<your registry>", Registry::NAME)
}

/// Every container runs the image that the chart names by digest, from the registry.
fn assert_pulled(pod: &Value, statuses: &str, image: &str) {
    let repository = format!("{}/azure-workload-identity/{image}", Registry::NAME);
    let statuses = pod["status"][statuses].as_array().expect("they have run");
    assert!(!statuses.is_empty());
    for status in statuses {
        let id = status["imageID"].as_str().expect("it was pulled");
        assert!(id.starts_with(&format!("{repository}@sha256:")), "{status}");
    }
    let spec = pod["spec"].to_string();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        spec.contains(&format!("{repository}:v{version}@sha256:")),
        "{spec}"
    );
}
