//! Containers that have something else where the token would be.

use e2e::{Container, Namespace, Pod};
use serde_json::{Value, json};

/// Prints the audience in the token that the variable names.
const PRINT: &str = "cut -d. -f2 $AZURE_FEDERATED_TOKEN_FILE | tr _- /+ | base64 -d 2> /dev/null | \
                     grep -o 'api://[A-Za-z]*'; echo $AZURE_FEDERATED_TOKEN_FILE";

/// The kubelet starts each of them, and the token is where the variable says.
#[tokio::test]
async fn a_container_with_something_else_at_the_tokens_place_finds_the_token() {
    let (namespace, _) = Namespace::with_identity("place").await;
    namespace
        .apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "map" },
            "data": { "azure-identity-token": "not a token" },
        }))
        .await;
    let directory = "/var/run/secrets/azure/tokens";
    let app = |name: &str| Container::shell(name, PRINT);
    let file = json!([{
        "name": "map",
        "mountPath": format!("{directory}/azure-identity-token"),
        "subPath": "azure-identity-token",
    }]);
    let pod = Pod::new("pod")
        .volume(json!({ "name": "empty", "emptyDir": {} }))
        .volume(json!({ "name": "map", "configMap": { "name": "map" } }))
        .volume(
            json!({ "name": "vault", "projected": { "sources": [{ "serviceAccountToken": {
            "audience": "vault", "path": "azure-identity-token",
        } }] } }),
        )
        // The name of the webhook's own volume.
        .volume(json!({ "name": "azure-identity-token", "emptyDir": {} }))
        .container(app("usual"))
        .container(app("empty").writable_mount("empty", directory))
        .container(app("other-token").mount("vault", directory))
        .container(app("linked").mount("empty", "/run/secrets/azure/tokens"))
        .container(with_mounts(app("file"), &file))
        .container(app("writable-above").writable_mount("empty", "/var/run"))
        .container(app("read-only-above").mount("map", "/var/run/secrets/azure"))
        .container(app("own-variable").env(
            "AZURE_FEDERATED_TOKEN_FILE",
            "/var/run/secrets/azure/wi/token/azure-identity-token",
        ));
    let printed = namespace.apply(&pod.manifest()).await;
    let warnings = printed
        .matches("as AZURE_FEDERATED_TOKEN_FILE says")
        .count();
    assert_eq!(warnings, 5, "{printed}");
    assert_eq!(namespace.finished("pod").await.phase, "Succeeded");
    for (name, directory) in [
        ("usual", directory),
        ("empty", "/var/run/secrets/azure/wi/token"),
        ("other-token", "/var/run/secrets/azure/wi/token"),
        ("linked", "/var/run/secrets/azure/wi/token"),
        ("file", "/var/run/secrets/azure/wi/token"),
        ("writable-above", directory),
        ("read-only-above", "/azure-workload-identity/token"),
        ("own-variable", "/var/run/secrets/azure/wi/token"),
    ] {
        let log = namespace.log("pod", name).await;
        let expected = format!("api://AzureADTokenExchange\n{directory}/azure-identity-token\n");
        assert_eq!(log, expected, "{name}");
    }
}

/// Adds mounts to those of the machine's programs.
fn with_mounts(container: Container, mounts: &Value) -> Container {
    let mut manifest = container.clone().manifest();
    let own = manifest["volumeMounts"].as_array_mut();
    let own = own.into_iter().flat_map(std::mem::take);
    let all: Value = own
        .chain(mounts.as_array().cloned().unwrap_or_default())
        .collect();
    container.field("volumeMounts", all)
}
