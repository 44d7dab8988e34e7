//! The fields of a service account that are read: its name, its version, and our annotations and
//! labels. Every other field is skipped while the bytes are parsed, and takes no memory.
//!
//! The watch requests whole objects, not their metadata alone: a service account has little else, and
//! cutting it down costs the API server as much as sending it.

use std::collections::BTreeMap;
use std::fmt;

use contract::annotation::PREFIX;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::inject::Account;
use crate::part::{Fields, Part};

/// An object of a list or a watch.
pub(super) type Object = Part<ServiceAccount, AccountFields>;

/// What is read of it.
#[derive(Clone, Debug)]
pub(super) struct AccountFields {
    /// `None` when it has none of our annotations and labels.
    pub(super) account: Option<Account>,
}

impl Fields for AccountFields {
    type Wire = Wire;

    fn read(Wire { metadata }: Wire) -> (ObjectMeta, Self) {
        let Entries(annotations) = metadata.annotations.unwrap_or_default();
        let Entries(labels) = metadata.labels.unwrap_or_default();
        let account = Account::read(&annotations, &labels);
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        (metadata, Self { account })
    }
}

/// A service account as it is written.
#[derive(Deserialize)]
pub(super) struct Wire {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    annotations: Option<Entries>,
    labels: Option<Entries>,
}

/// The product's own annotations or labels.
#[derive(Default)]
struct Entries(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key.starts_with(PREFIX) {
                        entries.insert(key, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource;
    use serde_json::json;

    use super::*;

    #[test]
    fn skips_fields_that_are_not_ours() {
        let object: Object = serde_json::from_value(json!({
            "kind": "ServiceAccount",
            "apiVersion": "v1",
            "metadata": {
                "name": "sa",
                "namespace": "ns",
                "resourceVersion": "7",
                "annotations": { "azure.workload.identity/client-id": "id", "a": "b" },
                "labels": { "azure.workload.identity/use": "true", "a": "b" },
                "managedFields": [{ "fieldsV1": {} }],
            },
            "secrets": [{ "name": "token" }],
        }))
        .unwrap();
        assert_eq!((object.namespace(), object.name()), ("ns", "sa"));
        assert_eq!(object.meta().resource_version.as_deref(), Some("7"));
        let account = object.fields.account.unwrap();
        assert_eq!(&*account.client_id, "id");
        assert!(account.labelled && account.unknown.is_empty());

        let plain = json!({ "metadata": { "name": "sa", "annotations": null } });
        let plain: Object = serde_json::from_value(plain).unwrap();
        assert!(plain.fields.account.is_none());
    }
}
