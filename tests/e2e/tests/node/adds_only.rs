//! Law 2 through the API server: the webhook only adds.

use e2e::{Container, Namespace, Pod};
use serde_json::{Value, json};

/// A pod with fields of many Kubernetes versions, some newer than any client library, and one list of
/// each kind.
fn elaborate() -> Pod {
    Pod::new("elaborate")
        .with_proxy()
        .annotate("example.com/note", "a/b~c")
        .field("resources", json!({ "limits": { "memory": "512Mi" } }))
        .field(
            "hostAliases",
            json!([{ "ip": "192.0.2.1", "hostnames": ["one.example"] }]),
        )
        .field(
            "readinessGates",
            json!([{ "conditionType": "example.com/gate" }]),
        )
        .field(
            "securityContext",
            json!({ "fsGroup": 2000, "supplementalGroupsPolicy": "Merge" }),
        )
        .init_container(
            Container::shell("sidecar", "sleep infinity").field("restartPolicy", json!("Always")),
        )
        .init_container(Container::shell("migrate", "true"))
        .container(
            Container::shell("app", "true")
                .env("AZURE_TENANT_ID", "the-users-own")
                .field(
                    "resizePolicy",
                    json!([{ "resourceName": "cpu", "restartPolicy": "NotRequired" }]),
                ),
        )
        .container(Container::shell("second", "true"))
}

#[tokio::test]
async fn keeps_every_field_of_the_pod() {
    let (namespace, _) = Namespace::with_identity("adds").await;
    let plain = namespace
        .dry_run(&elaborate().without_label().manifest())
        .await;
    let injected = namespace.dry_run(&elaborate().manifest()).await;
    assert_contains(&injected["spec"], &plain["spec"], "spec");
    assert_contains(
        &injected["metadata"]["annotations"],
        &plain["metadata"]["annotations"],
        "annotations",
    );

    let init: Vec<_> = names(&injected["spec"]["initContainers"]);
    assert_eq!(
        init,
        ["azwi-proxy-init", "azwi-proxy", "sidecar", "migrate"]
    );
    assert_eq!(names(&injected["spec"]["containers"]), ["app", "second"]);
}

#[tokio::test]
async fn an_injected_pod_applied_again_is_unchanged() {
    let (namespace, _) = Namespace::with_identity("again").await;
    let mut once = namespace.dry_run(&elaborate().manifest()).await;
    for field in [
        "creationTimestamp",
        "uid",
        "resourceVersion",
        "generation",
        "managedFields",
    ] {
        once["metadata"]
            .as_object_mut()
            .expect("metadata is an object")
            .remove(field);
    }
    let twice = namespace.dry_run(&once).await;
    assert_eq!(once["spec"], twice["spec"]);
    assert_eq!(
        once["metadata"]["annotations"],
        twice["metadata"]["annotations"]
    );
}

fn names(containers: &Value) -> Vec<&str> {
    let containers = containers.as_array().expect("a list of containers");
    containers
        .iter()
        .filter_map(|container| container["name"].as_str())
        .collect()
}

/// Asserts that objects keep every field and lists keep every element in order. Elements with a name
/// are found by it.
fn assert_contains(after: &Value, before: &Value, path: &str) {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            for (key, value) in before {
                let path = format!("{path}.{key}");
                assert_contains(after.get(key).unwrap_or(&Value::Null), value, &path);
            }
        }
        (Value::Array(after), Value::Array(before)) => {
            let mut rest = after.iter();
            for value in before {
                let name = &value["name"];
                let found = rest.find(|found| {
                    if name.is_string() {
                        &found["name"] == name
                    } else {
                        *found == value
                    }
                });
                // The service account's own volume and mount have a random name.
                if name
                    .as_str()
                    .is_some_and(|name| name.starts_with("kube-api-access-"))
                {
                    return;
                }
                let path = format!("{path}[{name}]");
                assert_contains(found.unwrap_or(&Value::Null), value, &path);
            }
        }
        _ => assert_eq!(after, before, "{path} was changed"),
    }
}
