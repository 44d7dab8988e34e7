//! Reads which service accounts an operator uses for its own requests: External Secrets names them in its stores.
//! Workloads that name the same account need no label for that.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::reader::{Reader, Resource};
use crate::facts::object::Object;

/// Service accounts by namespace and name, with the object that names them. A cluster without the operator has
/// none; without the right to read its objects, none are known.
pub(super) async fn read(
    reader: &mut Reader,
    namespace: Option<&str>,
) -> BTreeMap<(String, String), Object> {
    let mut accounts = BTreeMap::new();
    for resource in STORES {
        let scope = namespace.filter(|_| resource.kind == "SecretStore");
        reader
            .list_optional(resource, scope, |raw| {
                if let Some((account, object)) = account(resource.kind, raw)? {
                    accounts.insert(account, object);
                }
                Ok(())
            })
            .await;
    }
    accounts
}

pub(crate) type Found = ((String, String), Object);

/// The service account that a store names.
pub(crate) fn account(kind: &str, raw: &RawValue) -> Result<Option<Found>, serde_json::Error> {
    let Wire { metadata, spec } = serde_json::from_str(raw.get())?;
    let vault = spec.provider.azurekv;
    let Some(reference) = vault.and_then(|it| it.service_account_ref) else {
        return Ok(None);
    };
    let Some(namespace) = reference.namespace.or_else(|| metadata.namespace.clone()) else {
        return Ok(None);
    };
    let own = metadata.namespace.unwrap_or_default();
    let object = Object::new(kind, &own, &metadata.name);
    Ok(Some(((namespace, reference.name), object)))
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Spec {
    provider: Provider,
}

#[derive(Deserialize)]
struct Provider {
    azurekv: Option<Vault>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vault {
    service_account_ref: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    namespace: Option<String>,
}

const STORES: [Resource; 2] = [
    Resource::new("external-secrets.io/v1", "secretstores", "SecretStore"),
    Resource::new(
        "external-secrets.io/v1",
        "clustersecretstores",
        "ClusterSecretStore",
    ),
];
