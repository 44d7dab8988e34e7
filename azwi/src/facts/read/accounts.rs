//! Reads service accounts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::reader::{Reader, Resource};
use crate::facts::account::Account;
use crate::facts::template::Entries;

/// The service accounts by namespace and name. `None` when they could not be read.
pub(crate) async fn read(
    reader: &mut Reader,
    namespace: Option<&str>,
) -> Option<BTreeMap<(String, String), Account>> {
    let mut accounts = BTreeMap::new();
    let all_read = reader
        .list(ACCOUNTS, namespace, |object| {
            let (key, account) = one(object)?;
            accounts.insert(key, account);
            Ok(())
        })
        .await;
    all_read.then_some(accounts)
}

/// One service account by its JSON, with its namespace and name.
pub(crate) fn one(raw: &RawValue) -> Result<((String, String), Account), serde_json::Error> {
    let Wire { metadata } = serde_json::from_str(raw.get())?;
    let Entries(annotations) = metadata.annotations.unwrap_or_default();
    let Entries(labels) = metadata.labels.unwrap_or_default();
    let account = Account::read(&annotations, &labels);
    Ok(((metadata.namespace, metadata.name), account))
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: String,
    name: String,
    annotations: Option<Entries>,
    labels: Option<Entries>,
}

const ACCOUNTS: Resource = Resource::new("v1", "serviceaccounts", "ServiceAccount");
