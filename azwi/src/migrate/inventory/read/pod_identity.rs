//! Reads the custom resources of pod-managed identity. A cluster without them has none.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::facts::object::Object;
use crate::facts::read::reader::{Reader, Resource};
use crate::migrate::inventory::pod_identity::{
    Assigned, AzureIdentity, Binding, Exception, IdentityKind, PodIdentity, VERSION,
};
use crate::migrate::inventory::template::strings;

/// The objects of all namespaces: a binding can select pods of another.
pub(super) async fn read(reader: &mut Reader) -> PodIdentity {
    let mut found = PodIdentity::default();
    list(reader, IDENTITIES, |it| {
        found.identities.push(identity(it));
    })
    .await;
    list(reader, BINDINGS, |it| found.bindings.push(binding(it))).await;
    list(reader, EXCEPTIONS, |it| {
        found.exceptions.push(Exception {
            object: object(it, EXCEPTIONS.kind),
            labels: strings(spec(it, "podLabels")),
        });
    })
    .await;
    list(reader, ASSIGNED, |it| found.assigned.push(assigned(it))).await;
    found
}

async fn list(reader: &mut Reader, resource: Resource, mut each: impl FnMut(&Value)) {
    let add = |raw: &RawValue| {
        each(&serde_json::from_str(raw.get())?);
        Ok(())
    };
    reader.list(resource, None, add).await;
}

fn identity(value: &Value) -> AzureIdentity {
    let text = |field| text(spec(value, field));
    let kind = match spec(value, "type").and_then(Value::as_i64) {
        None | Some(0) => IdentityKind::Managed,
        Some(1) => IdentityKind::Secret,
        Some(2) => IdentityKind::Certificate,
        Some(other) => IdentityKind::Unknown(other),
    };
    let behaviour = value.pointer("/metadata/annotations/aadpodidentity.k8s.io~1Behavior");
    AzureIdentity {
        object: object(value, IDENTITIES.kind),
        kind,
        client_id: text("clientID").unwrap_or_default(),
        resource_id: text("resourceID").filter(|_| kind == IdentityKind::Managed),
        tenant_id: text("tenantID"),
        is_namespaced: behaviour
            .and_then(Value::as_str)
            .is_some_and(|it| it.eq_ignore_ascii_case("namespaced")),
    }
}

fn binding(value: &Value) -> Binding {
    Binding {
        object: object(value, BINDINGS.kind),
        identity: text(spec(value, "azureIdentity")).unwrap_or_default(),
        selector: text(spec(value, "selector")).unwrap_or_default(),
        weight: spec(value, "weight").and_then(Value::as_i64).unwrap_or(0),
    }
}

fn assigned(value: &Value) -> Assigned {
    let field = |field| text(spec(value, field)).unwrap_or_default();
    let identity = spec(value, "azureIdentityRef").map(|it| object(it, IDENTITIES.kind));
    let identity = identity.unwrap_or_default();
    Assigned {
        pod: Object::new("Pod", &field("podNamespace"), &field("pod")),
        identity: (identity.namespace, identity.name),
    }
}

fn object(value: &Value, kind: &str) -> Object {
    let name = |path| value.pointer(path).and_then(Value::as_str).unwrap_or("");
    Object::new(kind, name("/metadata/namespace"), name("/metadata/name"))
}

/// A field of the spec, whose case has changed with version 1.6 of pod-managed identity.
fn spec<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    let mut fields = value.get("spec")?.as_object()?.iter();
    let (_, value) = fields.find(|(key, _)| key.eq_ignore_ascii_case(field))?;
    Some(value)
}

fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

const IDENTITIES: Resource = Resource::new(VERSION, "azureidentities", "AzureIdentity");
const BINDINGS: Resource = Resource::new(VERSION, "azureidentitybindings", "AzureIdentityBinding");
const EXCEPTIONS: Resource = Resource::new(
    VERSION,
    "azurepodidentityexceptions",
    "AzurePodIdentityException",
);
const ASSIGNED: Resource =
    Resource::new(VERSION, "azureassignedidentities", "AzureAssignedIdentity");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_every_type_and_the_fields_of_old_versions() {
        let old = json!({
            "metadata": { "namespace": "prod", "name": "old" },
            "spec": { "type": 0, "ClientID": " c ", "ResourceID": "/r" },
        });
        let old = identity(&old);
        assert_eq!(
            (old.client_id.as_str(), old.resource_id.as_deref()),
            ("c", Some("/r"))
        );
        let secret = json!({
            "metadata": {
                "namespace": "prod",
                "name": "secret",
                "annotations": { "aadpodidentity.k8s.io/Behavior": "namespaced" },
            },
            "spec": { "type": 1, "clientID": "c", "tenantID": "t", "resourceID": "/ignored" },
        });
        let secret = identity(&secret);
        assert_eq!(secret.kind, IdentityKind::Secret);
        assert_eq!(secret.tenant_id.as_deref(), Some("t"));
        assert_eq!(secret.resource_id, None);
        assert!(secret.is_namespaced && !old.is_namespaced);
        let other = json!({ "spec": { "type": 7 } });
        assert_eq!(identity(&other).kind, IdentityKind::Unknown(7));
    }
}
