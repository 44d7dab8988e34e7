//! Reads NMI and MIC, by their images: charts and the add-on of AKS name them differently.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::facts::object::Object;
use crate::facts::read::reader::{Reader, Resource};
use crate::migrate::inventory::pod_identity::{Component, PodIdentity};

/// Finds them in all namespaces.
pub(super) async fn read(reader: &mut Reader, found: &mut PodIdentity) {
    for (resource, program) in [(DAEMON_SETS, "nmi"), (DEPLOYMENTS, "mic")] {
        let add = |raw: &RawValue| {
            // Most objects have no such word: they are not parsed.
            if raw.get().contains(program) {
                let value: Value = serde_json::from_str(raw.get())?;
                found
                    .components
                    .extend(component(&value, resource.kind, program));
            }
            Ok(())
        };
        reader.list(resource, None, add).await;
    }
}

fn component(value: &Value, kind: &str, program: &str) -> Option<Component> {
    let containers = value
        .pointer("/spec/template/spec/containers")?
        .as_array()?;
    let container = containers.iter().find(|it| is_image_of(it, program))?;
    let text = |path| value.pointer(path).and_then(Value::as_str).unwrap_or("");
    Some(Component {
        object: Object::new(kind, text("/metadata/namespace"), text("/metadata/name")),
        is_namespaced: is_namespaced(container),
    })
}

/// Whether the image is `…/aad-pod-identity/nmi:TAG`, or `…/nmi:TAG` of a mirror.
fn is_image_of(container: &Value, program: &str) -> bool {
    let image = container.get("image").and_then(Value::as_str).unwrap_or("");
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split(':').next() == Some(program)
}

/// Managed mode, in which MIC does not run, implies it.
fn is_namespaced(container: &Value) -> bool {
    let list = |field| container.get(field).and_then(Value::as_array).into_iter();
    let words = list("command").chain(list("args")).flatten();
    let mut words = words.filter_map(Value::as_str);
    let by_flag = words.any(|it| {
        let it = it.trim_start_matches('-');
        [
            "force-namespaced",
            "force-namespaced=true",
            "operation-mode=managed",
        ]
        .contains(&it)
    });
    by_flag
        || list("env").flatten().any(|it| {
            it.get("name").and_then(Value::as_str) == Some("FORCENAMESPACED")
                && it.get("value").and_then(Value::as_str) == Some("true")
        })
}

const DAEMON_SETS: Resource = Resource::new("apps/v1", "daemonsets", "DaemonSet");
const DEPLOYMENTS: Resource = Resource::new("apps/v1", "deployments", "Deployment");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(container: &Value) -> Option<Component> {
        let object = json!({
            "metadata": { "namespace": "kube-system", "name": "nmi" },
            "spec": { "template": { "spec": { "containers": [container] } } },
        });
        component(&object, "DaemonSet", "nmi")
    }

    #[test]
    fn finds_nmi_by_its_image_and_how_it_counts_namespaces() {
        let image = "mcr.example.com/oss/azure/aad-pod-identity/nmi:v1.8.17";
        let open = found(&json!({ "image": image, "args": ["--node=x"] })).unwrap();
        assert!(!open.is_namespaced);
        for container in [
            json!({ "image": image, "args": ["--force-namespaced"] }),
            json!({ "image": "mirror.example.com:5000/nmi@sha256:1", "args": ["--operation-mode=managed"] }),
            json!({ "image": image, "env": [{ "name": "FORCENAMESPACED", "value": "true" }] }),
        ] {
            assert!(found(&container).unwrap().is_namespaced, "{container}");
        }
        assert_eq!(found(&json!({ "image": "example.com/nminer:1" })), None);
    }
}
