//! A pod that meets the usual policies, and asks for a token.

use contract::annotation;
use e2e::{ASK_IMDS, Container, Identity, Namespace, Pod, claims};
use serde_json::{Value, json};

const ASK_ENDPOINT: &str = "curl --silent --show-error --fail-with-body --max-time 30 \
    -H \"X-IDENTITY-HEADER: $IDENTITY_HEADER\" \
    \"$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=https://vault.azure.net\"";

/// A pod without the sidecar, whose container meets all policies.
pub(super) fn workload(name: &str) -> Pod {
    Pod::new(name)
        .field("volumes", json!([]))
        .container(container("true"))
}

/// A pod in mode `redirect` that asks IMDS.
pub(super) fn redirect(name: &str) -> Pod {
    Pod::new(name)
        .with_proxy()
        .field("volumes", json!([]))
        .container(container(ASK_IMDS))
}

/// A pod in mode `environment` that asks the endpoint of its variables.
pub(super) fn environment(name: &str) -> Pod {
    Pod::new(name)
        .with_proxy()
        .annotate(annotation::PROXY_MODE, "environment")
        .field("volumes", json!([]))
        .container(container(ASK_ENDPOINT))
}

/// Runs a pod, which gets this identity's token without a warning. Returns the pod.
pub(super) async fn assert_gets_its_token(
    namespace: &Namespace,
    identity: &Identity,
    manifest: &Value,
) -> Value {
    let printed = namespace.apply(manifest).await;
    assert!(!printed.contains("Warning"), "{printed}");
    let name = manifest["metadata"]["name"].as_str().expect("a name");
    let finished = namespace.finished(name).await;
    let answer = namespace.log(name, "app").await;
    assert_eq!(finished.phase, "Succeeded", "{answer}");
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    json!(finished.pod)
}

fn container(line: &str) -> Container {
    Container::image("app", "registry.example.com/curl:v1")
        .field("command", json!(["/bin/sh", "-euc", line]))
        .field(
            "resources",
            json!({
                "requests": { "cpu": "10m", "memory": "64Mi" },
                "limits": { "cpu": "50m", "memory": "64Mi" },
            }),
        )
        .field(
            "securityContext",
            json!({
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "runAsUser": 1000,
                "seccompProfile": { "type": "RuntimeDefault" },
            }),
        )
}
