//! What checks need of a pod template, and of a pod.

use std::collections::BTreeMap;

use contract::annotation::PREFIX;
use contract::token::VOLUME as TOKEN_VOLUME;
use contract::{annotation, container, label, variable};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A pod template, or a pod.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The service account, `default` when none is named.
    pub service_account: String,
    /// The value of label `azure.workload.identity/use`.
    pub use_label: Option<String>,
    /// The client id's annotation, which belongs on the service account.
    pub client_id: Option<String>,
    /// Whether the annotation asks for the proxy.
    pub wants_proxy: bool,
    /// Whether a container or init container has the proxy's name.
    pub has_proxy: bool,
    /// Whether other client ids than the service account's are named: by annotation `identity-map`, or by
    /// `AZURE_CLIENT_ID` in every container.
    pub names_identities: bool,
    /// The audiences of projected service account tokens, empty for the API server's.
    pub audiences: Vec<String>,
    /// The values of `AZURE_CLIENT_ID` in the containers.
    pub client_ids: Vec<String>,
    /// A container that mounts a token's volume with `subPath`: the kubelet never renews such a file.
    pub fixed_token: Option<String>,
    /// All labels of a labelled template.
    pub labels: BTreeMap<String, String>,
    /// Whether its pods use the node's network.
    pub is_on_host_network: bool,
    /// Whether a container's variables name an egress proxy, or are in an object that is not read.
    pub may_have_egress_proxy: bool,
    /// The product's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether a volume's CSI driver gets tokens for the pod's service account itself.
    pub has_secrets_volume: bool,
    /// The JSON of a labelled template, for the webhook's own code.
    pub json: Option<Box<str>>,
}

impl Template {
    /// Reads a template's or a pod's JSON. `keep` keeps the JSON of a labelled one.
    ///
    /// # Errors
    ///
    /// When it is no pod.
    pub fn read(raw: &RawValue, keep: bool) -> Result<Self, serde_json::Error> {
        let wire: Wire = serde_json::from_str(raw.get())?;
        let mut template = Self::from(wire);
        if keep && template.is_labelled() {
            template.json = Some(raw.get().into());
        }
        Ok(template)
    }

    /// Whether the webhook is asked about such pods.
    #[must_use]
    pub fn is_labelled(&self) -> bool {
        self.use_label.as_deref() == Some("true")
    }

    /// Whether there is a projected token for this audience.
    #[must_use]
    pub fn has_token_for(&self, audience: &str) -> bool {
        self.audiences.iter().any(|it| it == audience)
    }
}

impl From<Wire> for Template {
    fn from(Wire { metadata, spec }: Wire) -> Self {
        let Entries(annotations) = metadata.annotations.unwrap_or_default();
        let Labels(mut labels) = metadata.labels.unwrap_or_default();
        let use_label = labels.get(label::USE).cloned();
        if use_label.as_deref() != Some("true") {
            labels.clear();
        }
        let spec = spec.unwrap_or_default();
        let asked = annotations.get(annotation::INJECT_PROXY_SIDECAR);
        let containers = spec.containers.unwrap_or_default();
        let init = spec.init_containers.unwrap_or_default();
        let own = containers.iter().filter(|it| it.name != container::PROXY);
        let names_all = !containers.is_empty() && own.clone().all(|it| it.client_id().is_some());
        let mut client_ids: Vec<String> =
            own.filter_map(|it| it.client_id()?.value.clone()).collect();
        client_ids.sort();
        client_ids.dedup();
        let volumes = spec.volumes.unwrap_or_default();
        let tokens: Vec<&str> = volumes.iter().filter_map(Volume::of_token).collect();
        let is_fixed = |it: &&Container| it.has_part_of(&tokens);
        let fixed_token = containers.iter().find(is_fixed);
        let fixed_token = fixed_token.map(|it| it.name.clone());
        let mut drivers = volumes.iter().filter_map(|it| it.csi.as_ref());
        let has_secrets_volume = drivers.any(|it| CSI_DRIVERS.contains(&it.driver.as_str()));
        let sources = volumes
            .into_iter()
            .filter_map(|it| it.projected?.sources)
            .flatten();
        Self {
            service_account: [spec.service_account_name, spec.service_account]
                .into_iter()
                .flatten()
                .find(|name| !name.is_empty())
                .unwrap_or_else(|| "default".to_owned()),
            use_label,
            fixed_token,
            labels,
            is_on_host_network: spec.host_network.unwrap_or_default(),
            may_have_egress_proxy: containers.iter().any(Container::may_have_egress_proxy),
            client_id: annotations.get(annotation::CLIENT_ID).cloned(),
            wants_proxy: asked.is_some_and(|it| it.trim().eq_ignore_ascii_case("true")),
            has_proxy: containers
                .iter()
                .chain(&init)
                .any(|it| it.name == container::PROXY),
            names_identities: names_all || annotations.contains_key(annotation::IDENTITY_MAP),
            audiences: sources
                .filter_map(|it| it.service_account_token)
                .map(|it| it.audience.unwrap_or_default())
                .collect(),
            client_ids,
            annotations,
            has_secrets_volume,
            json: None,
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: Option<Entries>,
    labels: Option<Labels>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    host_network: Option<bool>,
    service_account_name: Option<String>,
    service_account: Option<String>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<IgnoredAny>>,
    volume_mounts: Option<Vec<Mount>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mount {
    name: String,
    sub_path: Option<String>,
    sub_path_expr: Option<String>,
}

impl Mount {
    fn is_part(&self) -> bool {
        let paths = [&self.sub_path, &self.sub_path_expr];
        paths.into_iter().flatten().any(|it| !it.is_empty())
    }
}

impl Container {
    fn client_id(&self) -> Option<&Variable> {
        let mut variables = self.env.iter().flatten();
        variables.find(|it| it.name == variable::CLIENT_ID)
    }

    /// Whether it mounts a part of one of these volumes, or of the one that the webhook adds.
    fn has_part_of(&self, volumes: &[&str]) -> bool {
        let mut mounts = self.volume_mounts.iter().flatten();
        mounts.any(|it| {
            it.is_part() && (it.name == TOKEN_VOLUME || volumes.contains(&it.name.as_str()))
        })
    }

    fn may_have_egress_proxy(&self) -> bool {
        let mut variables = self.env.iter().flatten();
        let is_one = |name: &str| name.eq_ignore_ascii_case("HTTPS_PROXY");
        variables.any(|it| is_one(&it.name)) || self.env_from.iter().any(|it| !it.is_empty())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Volume {
    #[serde(default)]
    name: String,
    projected: Option<Projected>,
    csi: Option<Csi>,
}

impl Volume {
    /// Its name, when it has a service account token for another audience than the API server's.
    fn of_token(&self) -> Option<&str> {
        let sources = self.projected.as_ref()?.sources.as_ref()?;
        let mut tokens = sources
            .iter()
            .filter_map(|it| it.service_account_token.as_ref());
        let is_one = tokens.any(|it| it.audience.is_some());
        is_one.then_some(self.name.as_str())
    }
}

#[derive(Deserialize)]
struct Csi {
    driver: String,
}

#[derive(Deserialize)]
struct Projected {
    sources: Option<Vec<Source>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    service_account_token: Option<TokenSource>,
}

#[derive(Deserialize)]
struct TokenSource {
    audience: Option<String>,
}

/// CSI drivers that request tokens of the pod's service account, so that the pod needs no label.
const CSI_DRIVERS: [&str; 3] = [
    "secrets-store.csi.k8s.io",
    "blob.csi.azure.com",
    "file.csi.azure.com",
];

/// The product's own annotations or labels. Others, such as the last applied configuration, are skipped.
#[derive(Debug, Default)]
pub(crate) struct Entries(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = EntriesVisitor { keeps_all: false };
        deserializer.deserialize_map(visitor).map(Self)
    }
}

/// All labels. Of those that are not the product's, one without a text is skipped: manifests may have such.
#[derive(Debug, Default)]
struct Labels(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = EntriesVisitor { keeps_all: true };
        deserializer.deserialize_map(visitor).map(Self)
    }
}

struct EntriesVisitor {
    keeps_all: bool,
}

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a map of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key.starts_with(PREFIX) {
                entries.insert(key.into_owned(), map.next_value()?);
            } else if self.keeps_all {
                if let Value::String(text) = map.next_value()? {
                    entries.insert(key.into_owned(), text);
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(entries)
    }
}
