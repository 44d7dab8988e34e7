//! What checks need of a pod template, and of a pod.

use std::collections::BTreeMap;

use contract::annotation::PREFIX;
use contract::{annotation, container, label, variable};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
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
        let Entries(labels) = metadata.labels.unwrap_or_default();
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
            use_label: labels.get(label::USE).cloned(),
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
    labels: Option<Entries>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    service_account_name: Option<String>,
    service_account: Option<String>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    env: Option<Vec<Variable>>,
}

impl Container {
    fn client_id(&self) -> Option<&Variable> {
        let mut variables = self.env.iter().flatten();
        variables.find(|it| it.name == variable::CLIENT_ID)
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
    projected: Option<Projected>,
    csi: Option<Csi>,
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
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    if key.starts_with(PREFIX) {
                        entries.insert(key.into_owned(), map.next_value()?);
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
