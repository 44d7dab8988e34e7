//! Reads namespaces.

use std::collections::BTreeMap;

use contract::annotation;
use serde::Deserialize;

use super::reader::{Reader, Resource};
use crate::facts::Namespace;
use crate::facts::template::Entries;

/// The namespaces: one, or all. `None` when they could not be read.
pub(crate) async fn read(
    reader: &mut Reader,
    namespace: Option<&str>,
) -> Option<BTreeMap<String, Namespace>> {
    let mut namespaces = BTreeMap::new();
    let mut add = |text: &str| {
        let (name, namespace) = one(text)?;
        namespaces.insert(name, namespace);
        Ok(())
    };
    let all_read = match namespace {
        None => reader.list(NAMESPACES, None, |it| add(it.get())).await,
        Some(name) => match reader.get(NAMESPACES, None, name).await {
            Ok(Some(text)) => add(&text).is_ok(),
            Ok(None) => true,
            Err(_) => false,
        },
    };
    all_read.then_some(namespaces)
}

/// One namespace by its JSON, with its name.
pub(crate) fn one(text: &str) -> Result<(String, Namespace), serde_json::Error> {
    let wire: Wire = serde_json::from_str(text)?;
    Ok((wire.metadata.name.clone(), wire.into()))
}

impl From<Wire> for Namespace {
    fn from(Wire { metadata }: Wire) -> Self {
        let Entries(annotations) = metadata.annotations.unwrap_or_default();
        Self {
            labels: metadata.labels.unwrap_or_default(),
            client_id: annotations.get(annotation::CLIENT_ID).cloned(),
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Entries>,
}

const NAMESPACES: Resource = Resource::new("v1", "namespaces", "Namespace");
