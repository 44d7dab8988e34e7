//! The webhook's Deployment, and the settings that it gives the webhook.

use std::collections::BTreeMap;
use std::ffi::OsString;

use contract::variable;
use serde::Deserialize;
use webhook::inject::Prepared;
use webhook::settings::Settings;

use super::super::reader::{Reader, Resource};
use crate::facts::installation::Deployment;
use crate::facts::object::Object;

/// The Deployment whose pods have these labels, and its settings.
pub(super) async fn read(
    reader: &mut Reader,
    namespace: &str,
    selector: &BTreeMap<String, String>,
) -> (Option<Deployment>, Option<Prepared>) {
    let mut found = None;
    reader
        .list(DEPLOYMENTS, Some(namespace), |raw| {
            let wire: Wire = serde_json::from_str(raw.get())?;
            let labels = &wire.spec.template.metadata.labels;
            if selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
            {
                found = Some(wire);
            }
            Ok(())
        })
        .await;
    let Some(wire) = found else {
        return (None, None);
    };
    let Some(container) = wire.spec.template.spec.containers.first() else {
        return (None, None);
    };
    let mut variables = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let Some(name) = source.config_map_ref.as_ref().map(|it| &it.name) else {
            continue;
        };
        if let Ok(Some(text)) = reader.get(CONFIG_MAPS, Some(namespace), name).await {
            let map: Option<ConfigMap> = serde_json::from_str(&text).ok();
            variables.extend(map.and_then(|it| it.data).unwrap_or_default());
        }
    }
    let own = container.env.iter().flatten();
    variables.extend(own.filter_map(|it| Some((it.name.clone(), it.value.clone()?))));
    let settings = settings(container.args.clone().unwrap_or_default(), &variables);
    (Some(deployment(namespace, &wire)), settings)
}

fn deployment(namespace: &str, wire: &Wire) -> Deployment {
    let containers = wire.spec.template.spec.containers.first();
    let image = containers.map(|it| it.image.split('@').next().unwrap_or_default());
    let last = image.and_then(|it| it.rsplit('/').next());
    let tag = last
        .and_then(|it| it.split_once(':'))
        .map(|(_, tag)| tag.to_owned());
    Deployment {
        object: Object::new(DEPLOYMENTS.kind, namespace, &wire.metadata.name),
        replicas: wire.spec.replicas.unwrap_or(1),
        image_tag: tag,
        chart_version: wire
            .metadata
            .labels
            .get("app.kubernetes.io/version")
            .cloned(),
    }
}

/// The settings as the webhook itself reads them. Another webhook than this project's may have flags that it
/// does not know: then there are none.
fn settings(args: Vec<String>, variables: &BTreeMap<String, String>) -> Option<Prepared> {
    let args = ["webhook".to_owned()].into_iter().chain(args);
    let settings = Settings::read(args.map(OsString::from), |name| {
        let value = variables.get(name).map(String::as_str);
        // Where they could not be read: no decision about a pod depends on them.
        let value = value.or(match name {
            variable::TENANT_ID => Some("00000000-0000-0000-0000-000000000000"),
            "PROXY_IMAGE" => Some("unknown"),
            _ => None,
        });
        value.map(OsString::from)
    });
    Some(Prepared::from(settings.ok()?.config))
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Spec {
    replicas: Option<u32>,
    template: Template,
}

#[derive(Deserialize)]
struct Template {
    metadata: Metadata,
    spec: PodSpec,
}

#[derive(Deserialize)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    image: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<Source>>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    config_map_ref: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
}

#[derive(Deserialize)]
struct ConfigMap {
    data: Option<BTreeMap<String, String>>,
}

const DEPLOYMENTS: Resource = Resource::new("apps/v1", "deployments", "Deployment");
const CONFIG_MAPS: Resource = Resource::new("v1", "configmaps", "ConfigMap");
