//! The webhook's Deployment, and the settings that it gives the webhook.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use contract::variable;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde::Deserialize;
use webhook::inject::Prepared;
use webhook::settings::Settings;

use super::super::reader::{Reader, Resource};
use super::super::version;
use crate::facts::installation::Deployment;
use crate::facts::object::Object;

/// What a Deployment says of the webhook.
#[derive(Default)]
pub(super) struct Read {
    pub(super) deployment: Option<Deployment>,
    pub(super) settings: Option<Prepared>,
    pub(super) proxy_ca: Option<(Object, String)>,
}

/// The Deployment whose pods have these labels, and its settings.
pub(super) async fn read(
    reader: &mut Reader,
    namespace: &str,
    selector: &BTreeMap<String, String>,
) -> Read {
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
        return Read::default();
    };
    let Some(container) = wire.spec.template.spec.containers.first() else {
        return Read::default();
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
    let file = settings.as_ref().and_then(|it| it.proxy_ca_file.clone());
    let settings = match settings {
        Some(settings) => {
            let version = version::read(reader).await;
            Some(prepared(settings, version.as_ref()))
        }
        None => None,
    };
    Read {
        deployment: Some(deployment(namespace, &wire)),
        proxy_ca: file.and_then(|it| config_map_of(&wire.spec.template.spec, &it, namespace)),
        settings,
    }
}

/// The ConfigMap behind a file of the webhook, and its key.
fn config_map_of(spec: &PodSpec, file: &Path, namespace: &str) -> Option<(Object, String)> {
    let (folder, key) = (file.parent()?, file.file_name()?.to_str()?);
    let mut mounts = spec.containers.first()?.volume_mounts.iter().flatten();
    let mount = mounts.find(|it| Path::new(&it.mount_path) == folder)?;
    let mut volumes = spec.volumes.iter().flatten();
    let volume = volumes.find(|it| it.name == mount.name)?;
    let name = &volume.config_map.as_ref()?.name;
    Some((
        Object::new(CONFIG_MAPS.kind, namespace, name),
        key.to_owned(),
    ))
}

/// The certificates that the proxies trust besides the public ones, PEM.
pub(in crate::facts::read) async fn proxy_ca(
    reader: &mut Reader,
    object: &Object,
    key: &str,
) -> Option<String> {
    let namespace = Some(object.namespace.as_str());
    let text = reader
        .get(CONFIG_MAPS, namespace, &object.name)
        .await
        .ok()??;
    let map: ConfigMap = serde_json::from_str(&text).ok()?;
    map.data?.remove(key)
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

/// The settings of a webhook that the chart installs with its default values and images of this repository, on an API
/// server of this version.
pub(crate) fn default_settings(repository: &str, version: Option<&Info>) -> Option<Prepared> {
    let repository = repository.trim_end_matches('/');
    let image = format!("{repository}/proxy:v{}", contract::VERSION);
    let images = [PROXY_IMAGE, PROXY_INIT_IMAGE].map(|it| (it.to_owned(), image.clone()));
    let settings = settings(Vec::new(), &images.into())?;
    Some(prepared(settings, version))
}

/// The settings with the form of the sidecar that an API server of this version gets.
fn prepared(settings: Settings, version: Option<&Info>) -> Prepared {
    let mut config = settings.config;
    let native = version.and_then(|it| settings.native_sidecar.decide(it));
    config.sidecar.native = native.unwrap_or(config.sidecar.native);
    Prepared::from(config)
}

/// The settings as the webhook itself reads them. Another webhook than this project's may have flags that it
/// does not know: then there are none.
fn settings(args: Vec<String>, variables: &BTreeMap<String, String>) -> Option<Settings> {
    let args = ["webhook".to_owned()].into_iter().chain(args);
    let settings = Settings::read(args.map(OsString::from), |name| {
        let value = variables.get(name).map(String::as_str);
        // Where they could not be read: no decision about a pod depends on them.
        let value = value.or(match name {
            variable::TENANT_ID => Some(UNKNOWN_TENANT),
            PROXY_IMAGE => Some("unknown"),
            _ => None,
        });
        value.map(OsString::from)
    });
    settings.ok()
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
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    config_map: Option<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    name: String,
    mount_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    image: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<Source>>,
    volume_mounts: Option<Vec<Mount>>,
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

const PROXY_IMAGE: &str = "PROXY_IMAGE";
const PROXY_INIT_IMAGE: &str = "PROXY_INIT_IMAGE";
/// The chart's `image.repository`.
pub const REPOSITORY: &str = "registry.example.com/azure-workload-identity";
/// In place of a tenant that could not be read.
pub(in crate::facts::read) const UNKNOWN_TENANT: &str = "00000000-0000-0000-0000-000000000000";
const DEPLOYMENTS: Resource = Resource::new("apps/v1", "deployments", "Deployment");
const CONFIG_MAPS: Resource = Resource::new("v1", "configmaps", "ConfigMap");
