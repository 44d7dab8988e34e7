//! Reviews as an API server sends them, of any length.

use serde_json::{Value, json};

/// The namespace of the reviewed pods.
pub const NAMESPACE: &str = "bench";
/// The service account of the reviewed pods.
pub const SERVICE_ACCOUNT: &str = "application";

/// The review of a new pod that asks for the proxy, `length` bytes long, or as short as possible when
/// that is too short. The container's variables and their `managedFields` fill it, as in real pods of
/// that length.
pub fn of_length(length: usize) -> Vec<u8> {
    let mut settings = 0;
    while render(settings + 1, "").len() <= length {
        settings += 1;
    }
    let bare = render(settings, "").len();
    render(settings, &"x".repeat(length.saturating_sub(bare)))
}

fn render(settings: usize, filling: &str) -> Vec<u8> {
    let mut variables = vec![json!({"name": "FILLING", "value": filling})];
    let mut noted = serde_json::Map::new();
    for number in 0..settings {
        let name = format!("APPLICATION_SETTING_{number:04}");
        noted.insert(
            format!("k:{{\"name\":\"{name}\"}}"),
            json!({".": {}, "f:name": {}, "f:value": {}}),
        );
        variables.push(json!({"name": name, "value": "postgres://db.example.com:5432/app"}));
    }
    review(&pod(&variables, &noted.into()))
        .to_string()
        .into_bytes()
}

fn review(pod: &Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": NAMESPACE,
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "5b4b0b6e-6f53-4b5f-9c4b-f9a4e5b1c0de",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn pod(variables: &[Value], noted: &Value) -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "application-5d4f8c7b9-",
            "namespace": NAMESPACE,
            "labels": {"app": "application", contract::label::USE: "true"},
            "annotations": {contract::annotation::INJECT_PROXY_SIDECAR: "true"},
            "managedFields": [{
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": "v1",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:containers": {"f:env": noted}}},
            }],
        },
        "spec": {
            "volumes": [{
                "name": "kube-api-access-x7k2p",
                "projected": {"sources": [{"serviceAccountToken": {
                    "expirationSeconds": 3607, "path": "token",
                }}]},
            }],
            "containers": [{
                "name": "application",
                "image": "registry.example.com/application:v1",
                "env": variables,
                "volumeMounts": [{
                    "name": "kube-api-access-x7k2p",
                    "readOnly": true,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                }],
            }],
            "serviceAccountName": SERVICE_ACCOUNT,
        },
        "status": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_have_the_requested_length() {
        for length in [2_000, 4_000, 20_000, 200_000] {
            let review = of_length(length);
            assert_eq!(review.len(), length);
            let review: Value = serde_json::from_slice(&review).unwrap();
            assert_eq!(review["request"]["object"]["kind"], "Pod");
        }
    }
}
