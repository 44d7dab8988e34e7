//! The Python applications of Microsoft's guides, unmodified, with an old and a current SDK.

use contract::annotation;
use e2e::{Container, Identity, Namespace, Pod};
use serde_json::json;

/// The SDK of 2020, without support for Workload ID.
const LEGACY: &str = "python-legacy";
/// The current SDK.
const CURRENT: &str = "python-current";

#[tokio::test]
async fn the_legacy_sdk_reads_its_secret_through_the_proxy() {
    let (namespace, identity) = Namespace::with_identity("legacy").await;
    let vault = identity
        .vault(namespace.name(), "my-secret", "Hello from key vault")
        .await;
    let pod = application("app", LEGACY, "managed_identity.py", &vault).with_proxy();
    namespace.run_to_success(&pod).await;
    let log = namespace.log("app", "app").await;
    assert!(
        log.contains("Your secret is 'Hello from key vault'."),
        "{log}"
    );
}

#[tokio::test]
async fn the_current_sdk_reads_its_secret_without_a_sidecar() {
    let (namespace, identity) = Namespace::with_identity("current").await;
    let vault = identity
        .vault(namespace.name(), "my-secret", "Hello from key vault")
        .await;
    let pod = application("app", CURRENT, "default_credential.py", &vault);
    let finished = namespace.run_to_success(&pod).await;
    let spec = finished.pod.spec.expect("a pod has a spec");
    assert_eq!(spec.containers.len(), 1, "the pod has no sidecar");
    assert!(
        spec.init_containers.unwrap_or_default().is_empty(),
        "the pod has no sidecar"
    );
    let log = namespace.log("app", "app").await;
    assert!(
        log.contains("Your secret is 'Hello from key vault'."),
        "{log}"
    );
}

#[tokio::test]
async fn the_sdk_reports_a_client_id_that_entra_does_not_know() {
    let namespace = Namespace::new("unknown").await;
    let unknown = Identity {
        client_id: "aaaaaaaa-0000-4000-8000-00000000dead".into(),
    };
    namespace.service_account("app", &unknown.client_id).await;
    let vault = unknown
        .vault(namespace.name(), "my-secret", "never read")
        .await;
    let pod = application("app", CURRENT, "managed_identity.py", &vault).with_proxy();
    // Without Workload ID's variables the SDK uses IMDS.
    let pod = pod.annotate(annotation::SKIP_CONTAINERS, "app");
    assert_eq!(namespace.run(&pod).await.phase, "Failed");
    let error = namespace.log("app", "app").await;
    assert!(error.contains("AADSTS700016"), "{error}");
    assert!(error.contains(&unknown.client_id), "{error}");
    let proxy = namespace.log("app", "azwi-proxy").await;
    assert!(proxy.contains("700016"), "{proxy}");
}

fn application(name: &str, sdk: &str, program: &str, vault: &str) -> Pod {
    let container = Container::new("app", &["/usr/bin/python3", &format!("/app/{program}")])
        .env("PYTHONPATH", "/sdk")
        .env("KEYVAULT_URL", vault)
        .env("SECRET_NAME", "my-secret")
        .env("REQUESTS_CA_BUNDLE", "/azure-ca.pem")
        .mount("app", "/app")
        .mount("sdk", "/sdk")
        .mount("azure-ca", "/azure-ca.pem");
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/python");
    let ca = std::env::var("AZURE_CA_FILE").expect("the test node sets AZURE_CA_FILE");
    let sdks = std::env::var("SDK_DIRECTORY").expect("`make test` sets SDK_DIRECTORY");
    Pod::new(name)
        .container(container)
        .volume(json!({ "name": "app", "hostPath": { "path": sources, "type": "Directory" } }))
        .volume(json!({ "name": "sdk", "hostPath": { "path": format!("{sdks}/{sdk}"), "type": "Directory" } }))
        .volume(json!({ "name": "azure-ca", "hostPath": { "path": ca, "type": "File" } }))
}
