//! Reads the webhooks that select the product's label, and follows the first to what runs behind it.

mod bundle;
mod deployment;

pub use deployment::REPOSITORY;
pub(crate) use deployment::default_settings;
pub(super) use deployment::{UNKNOWN_TENANT, proxy_ca};

use std::collections::{BTreeMap, BTreeSet};

use contract::label;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::reader::{Reader, Resource};
use crate::facts::installation::{Configuration, Endpoints, Installation, Service, Webhook};
use crate::facts::object::Object;
use crate::facts::selector::Selector;

/// The installation. `None` when the configurations could not be read.
pub(crate) async fn read(reader: &mut Reader) -> Option<Installation> {
    let mut configurations = Vec::new();
    let all_read = reader
        .list(CONFIGURATIONS, None, |raw| {
            configurations.extend(configuration(raw)?);
            Ok(())
        })
        .await;
    if !all_read {
        return None;
    }
    let mut installation = Installation {
        configurations,
        ..Installation::default()
    };
    follow(reader, &mut installation).await;
    Some(installation)
}

/// A MutatingWebhookConfiguration by its JSON, `None` when it does not select the label.
pub(crate) fn configuration(raw: &RawValue) -> Result<Option<Configuration>, serde_json::Error> {
    let wire: Wire = serde_json::from_str(raw.get())?;
    let Metadata {
        name,
        managed_fields,
    } = wire.metadata;
    let webhooks = wire.webhooks.unwrap_or_default().into_iter();
    let webhooks: Vec<_> = webhooks.filter(is_ours).map(Webhook::from).collect();
    let is_selecting = !webhooks.is_empty();
    Ok(is_selecting.then(|| Configuration {
        name,
        webhooks,
        bundle_managers: bundle_managers(managed_fields.unwrap_or_default()),
    }))
}

/// Reads the state of every Service that is called, and the Deployment behind the first.
async fn follow(reader: &mut Reader, installation: &mut Installation) {
    let mut first = None;
    let mut known = BTreeMap::<Object, Endpoints>::new();
    let webhooks = installation.configurations.iter_mut();
    for service in webhooks
        .flat_map(|it| &mut it.webhooks)
        .filter_map(|it| it.service.as_mut())
    {
        if let Some(state) = known.get(&service.object) {
            service.state = state.clone();
            continue;
        }
        let (state, selector) = endpoints(reader, &service.object).await;
        known.insert(service.object.clone(), state.clone());
        service.state = state;
        if first.is_none() {
            first = selector.map(|selector| (service.object.namespace.clone(), selector));
        }
    }
    if let Some((namespace, selector)) = first {
        let found = deployment::read(reader, &namespace, &selector).await;
        installation.deployment = found.deployment;
        installation.settings = found.settings;
        installation.proxy_ca = found.proxy_ca;
    }
}

/// Whether a Service leads anywhere, and the labels of the pods behind it.
async fn endpoints(
    reader: &mut Reader,
    service: &Object,
) -> (Endpoints, Option<BTreeMap<String, String>>) {
    let namespace = Some(service.namespace.as_str());
    let text = match reader.get(SERVICES, namespace, &service.name).await {
        Ok(Some(text)) => text,
        Ok(None) => return (Endpoints::NoService, None),
        Err(_) => return (Endpoints::Unknown, None),
    };
    let selector = serde_json::from_str::<ServiceWire>(&text).ok();
    let selector = selector.and_then(|it| it.spec.selector);
    let mut ready = 0;
    let all_read = reader
        .list(SLICES, namespace, |raw| {
            ready += ready_of(raw, &service.name)?;
            Ok(())
        })
        .await;
    let state = if all_read {
        Endpoints::Ready(ready)
    } else {
        Endpoints::Unknown
    };
    (state, selector)
}

fn ready_of(raw: &RawValue, service: &str) -> Result<usize, serde_json::Error> {
    let slice: Slice = serde_json::from_str(raw.get())?;
    let labels = slice.metadata.labels.unwrap_or_default();
    if labels.get("kubernetes.io/service-name").map(String::as_str) != Some(service) {
        return Ok(0);
    }
    let endpoints = slice.endpoints.unwrap_or_default();
    // Without a condition, an endpoint counts as ready.
    let ready = endpoints.iter().filter(|it| {
        let conditions = it.conditions.as_ref();
        conditions.and_then(|it| it.ready) != Some(false)
    });
    Ok(ready.count())
}

/// Whether a webhook is called for new pods, and chooses them by the product's label.
fn is_ours(wire: &WebhookWire) -> bool {
    let object = wire.object_selector.as_ref();
    let mut rules = wire.rules.iter().flatten();
    object.is_some_and(|it| it.names(label::USE))
        && rules.any(|it| has(&it.resources, "pods") && has(&it.operations, "CREATE"))
}

/// The field managers that own `caBundle` of a webhook.
fn bundle_managers(entries: Vec<Manager>) -> Vec<String> {
    let owns = |it: &Manager| {
        let webhooks = it
            .fields_v1
            .as_ref()
            .and_then(|it| it["f:webhooks"].as_object());
        let mut webhooks = webhooks.into_iter().flat_map(|it| it.values());
        webhooks.any(|it| it["f:clientConfig"].get("f:caBundle").is_some())
    };
    let names: BTreeSet<String> = entries
        .into_iter()
        .filter(owns)
        .map(|it| it.manager)
        .collect();
    names.into_iter().collect()
}

fn has(values: &[String], wanted: &str) -> bool {
    values.iter().any(|it| it == wanted || it == "*")
}

impl From<WebhookWire> for Webhook {
    fn from(wire: WebhookWire) -> Self {
        let service = wire.client_config.service.map(|it| Service {
            object: Object::new("Service", &it.namespace, &it.name),
            state: Endpoints::Unknown,
        });
        Self {
            name: wire.name,
            service,
            namespace_selector: wire.namespace_selector.unwrap_or_default(),
            ignores_failures: wire.failure_policy.as_deref() == Some("Ignore"),
            bundle: bundle::state(wire.client_config.ca_bundle.as_deref()),
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    webhooks: Option<Vec<WebhookWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    managed_fields: Option<Vec<Manager>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manager {
    manager: String,
    fields_v1: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookWire {
    #[serde(default)]
    name: String,
    client_config: ClientConfig,
    failure_policy: Option<String>,
    namespace_selector: Option<Selector>,
    object_selector: Option<Selector>,
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<String>,
    service: Option<ServiceReference>,
}

#[derive(Deserialize)]
struct ServiceReference {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    operations: Vec<String>,
    resources: Vec<String>,
}

#[derive(Deserialize)]
struct ServiceWire {
    spec: ServiceSpec,
}

#[derive(Deserialize)]
struct ServiceSpec {
    selector: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Slice {
    metadata: SliceMetadata,
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Deserialize)]
struct SliceMetadata {
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Endpoint {
    conditions: Option<Conditions>,
}

#[derive(Deserialize)]
struct Conditions {
    ready: Option<bool>,
}

const CONFIGURATIONS: Resource = Resource::new(
    "admissionregistration.k8s.io/v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
);
const SERVICES: Resource = Resource::new("v1", "services", "Service");
const SLICES: Resource = Resource::new("discovery.k8s.io/v1", "endpointslices", "EndpointSlice");
