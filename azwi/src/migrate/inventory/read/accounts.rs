//! Reads what a new service account needs of the one that it replaces.

use std::collections::BTreeMap;

use contract::annotation;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::facts::object::Object;
use crate::facts::read::reader::{Reader, Resource};
use crate::migrate::inventory::template::strings;
use crate::migrate::inventory::{AccountDetails, Grant, Inventory};
use crate::migrate::{BEFORE, REPLACES};

/// Reads the service accounts of the workloads, and their rights.
pub(super) async fn read(reader: &mut Reader, namespace: Option<&str>, inventory: &mut Inventory) {
    for workload in &inventory.workloads {
        let name = workload.template.account().to_owned();
        let key = (workload.object.namespace.clone(), name);
        inventory.accounts.insert(key, AccountDetails::default());
    }
    if inventory.workloads.is_empty() {
        return;
    }
    let add = |raw: &RawValue| {
        let value: Value = serde_json::from_str(raw.get())?;
        let text = |path| value.pointer(path).and_then(Value::as_str).unwrap_or("");
        let key = (
            text("/metadata/namespace").to_owned(),
            text("/metadata/name").to_owned(),
        );
        let found = details(&value);
        if found.replaces.is_some() || inventory.accounts.contains_key(&key) {
            inventory.accounts.insert(key, found);
        }
        Ok(())
    };
    reader.list(ACCOUNTS, namespace, add).await;
    for resource in [ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS] {
        let add = |raw: &RawValue| {
            let value: Value = serde_json::from_str(raw.get())?;
            add_grant(&value, resource.kind, &mut inventory.accounts);
            Ok(())
        };
        reader.list(resource, None, add).await;
    }
}

fn details(value: &Value) -> AccountDetails {
    let secrets = value.get("imagePullSecrets").and_then(Value::as_array);
    let names = secrets.into_iter().flatten();
    let all = strings(value.pointer("/metadata/annotations"));
    let replaces = all.get(REPLACES).cloned();
    let before = all.get(BEFORE).cloned();
    let mut annotations = all;
    annotations
        .retain(|key, _| [annotation::CLIENT_ID, annotation::TENANT_ID].contains(&key.as_str()));
    AccountDetails {
        image_pull_secrets: names
            .filter_map(|it| Some(it.get("name")?.as_str()?.to_owned()))
            .collect(),
        automount: value
            .get("automountServiceAccountToken")
            .and_then(Value::as_bool),
        annotations,
        replaces,
        before,
        grants: Vec::new(),
    }
}

fn add_grant(
    value: &Value,
    kind: &str,
    accounts: &mut BTreeMap<(String, String), AccountDetails>,
) -> Option<()> {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str);
    let grant = Grant {
        binding: Object::new(
            kind,
            text("/metadata/namespace").unwrap_or_default(),
            text("/metadata/name")?,
        ),
        role_kind: text("/roleRef/kind")?.to_owned(),
        role: text("/roleRef/name")?.to_owned(),
        is_made: strings(value.pointer("/metadata/annotations")).contains_key(REPLACES),
    };
    for subject in value.get("subjects")?.as_array()? {
        let field = |name| subject.get(name).and_then(Value::as_str);
        if field("kind") != Some("ServiceAccount") {
            continue;
        }
        let namespace = field("namespace").unwrap_or(&grant.binding.namespace);
        let key = (namespace.to_owned(), field("name")?.to_owned());
        if let Some(details) = accounts.get_mut(&key) {
            details.grants.push(grant.clone());
        }
    }
    Some(())
}

const ACCOUNTS: Resource = Resource::new("v1", "serviceaccounts", "ServiceAccount");
const ROLE_BINDINGS: Resource = Resource::new(
    "rbac.authorization.k8s.io/v1",
    "rolebindings",
    "RoleBinding",
);
const CLUSTER_ROLE_BINDINGS: Resource = Resource::new(
    "rbac.authorization.k8s.io/v1",
    "clusterrolebindings",
    "ClusterRoleBinding",
);
