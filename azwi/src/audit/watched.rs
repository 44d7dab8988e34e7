//! What the audit reads of a pod of a list or a watch. Everything else is skipped while the bytes are parsed, and lists
//! are folded: as k8s-openapi's type, a pod of 4 MiB takes 100 MiB.

use std::collections::BTreeMap;

use contract::{container, variable};
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use webhook::part::{Fields, Part};

use super::fold::each;
use super::owner::controller;
use crate::facts::template::Entries;

/// A pod.
pub(super) type Watched = Part<v1::Pod, PodFields>;

/// What is read of a pod.
#[derive(Clone, Debug)]
pub(super) struct PodFields {
    /// The product's.
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) controller: Option<OwnerReference>,
    pub(super) is_ending: bool,
    pub(super) spec: Option<Spec>,
    pub(super) status: Status,
}

/// What the containers are to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) service_account_name: Option<String>,
    #[serde(deserialize_with = "containers")]
    pub(super) containers: Containers,
    #[serde(deserialize_with = "containers")]
    pub(super) init_containers: Containers,
    /// The audiences of projected service account tokens.
    #[serde(rename = "volumes", deserialize_with = "audiences")]
    pub(super) audiences: Vec<String>,
}

/// One of the two lists of containers.
#[derive(Clone, Debug, Default)]
pub(super) struct Containers {
    /// Those with the name of an injected one.
    pub(super) injected: Vec<Injected>,
    /// The names of the first ones, up to the redirect.
    pub(super) first: Vec<String>,
    /// The values of `AZURE_CLIENT_ID` in others than the proxy.
    pub(super) client_ids: Vec<String>,
}

/// A container with the name of an injected one.
#[derive(Clone, Debug)]
pub(super) struct Injected {
    pub(super) name: String,
    pub(super) image: String,
    /// Whether it has the secret of mode `environment`.
    pub(super) has_identity_header: bool,
}

/// The pod's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) phase: Option<String>,
    #[serde(rename = "conditions", deserialize_with = "is_ready")]
    pub(super) is_ready: bool,
}

impl Fields for PodFields {
    type Wire = Wire;

    fn read(wire: Wire) -> (ObjectMeta, Self) {
        let Wire {
            metadata,
            spec,
            status,
        } = wire;
        let pod = Self {
            annotations: metadata.annotations.unwrap_or_default().0,
            controller: metadata.owner_references,
            is_ending: metadata.deletion_timestamp.is_some(),
            spec,
            status: status.unwrap_or_default(),
        };
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            resource_version: metadata.resource_version,
            uid: metadata.uid,
            ..ObjectMeta::default()
        };
        (metadata, pod)
    }
}

/// A pod as it is written.
#[derive(Deserialize)]
pub(super) struct Wire {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
    annotations: Option<Entries>,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(deserialize_with = "controller")]
    owner_references: Option<OwnerReference>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    image: Option<String>,
    #[serde(deserialize_with = "environment")]
    env: Environment,
}

#[derive(Default)]
struct Environment {
    client_ids: Vec<String>,
    has_identity_header: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Volume {
    projected: Option<Projected>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Projected {
    #[serde(rename = "sources", deserialize_with = "audiences_of_sources")]
    audiences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    service_account_token: Option<Token>,
}

#[derive(Deserialize)]
struct Token {
    audience: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

fn containers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Containers, D::Error> {
    let mut all = Containers::default();
    let mut is_before = true;
    each(deserializer, |it: Container| {
        is_before &= it.name != container::PROXY_INIT;
        if is_before {
            push(&mut all.first, &it.name, MAX_FIRST);
        }
        if it.name != container::PROXY {
            for id in &it.env.client_ids {
                push(&mut all.client_ids, id, MAX_ITEMS);
            }
        }
        // The names of containers are unique in a pod.
        let is_injected = [container::PROXY_INIT, container::PROXY].contains(&it.name.as_str());
        if is_injected && all.injected.len() < 2 {
            all.injected.push(Injected {
                image: cut(it.image.as_deref().unwrap_or_default()),
                name: it.name,
                has_identity_header: it.env.has_identity_header,
            });
        }
    })?;
    Ok(all)
}

fn environment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Environment, D::Error> {
    let mut all = Environment::default();
    each(deserializer, |it: Variable| {
        all.has_identity_header |= it.name == variable::IDENTITY_HEADER;
        if it.name == variable::CLIENT_ID
            && let Some(id) = &it.value
        {
            push(&mut all.client_ids, id, MAX_ITEMS);
        }
    })?;
    Ok(all)
}

fn audiences<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut all = Vec::new();
    each(deserializer, |it: Volume| {
        for audience in it.projected.iter().flat_map(|it| &it.audiences) {
            push(&mut all, audience, MAX_ITEMS);
        }
    })?;
    Ok(all)
}

fn audiences_of_sources<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let mut all = Vec::new();
    each(deserializer, |it: Source| {
        if let Some(audience) = it.service_account_token.and_then(|it| it.audience) {
            push(&mut all, &audience, MAX_ITEMS);
        }
    })?;
    Ok(all)
}

fn is_ready<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let mut is_ready = false;
    each(deserializer, |it: Condition| {
        is_ready |= it.kind == "Ready" && it.status == "True";
    })?;
    Ok(is_ready)
}

/// Adds a text that is not in the list, if there is capacity for it.
fn push(list: &mut Vec<String>, text: &str, most: usize) {
    let text = cut(text);
    if list.len() < most && !list.contains(&text) {
        list.push(text);
    }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Bytes of a text: more than any image, audience or client id has.
const MAX_TEXT: usize = 1_024;
/// Different client ids or audiences: more than any ordinary pod has.
const MAX_ITEMS: usize = 64;
/// Init containers that a cause names.
const MAX_FIRST: usize = 3;
