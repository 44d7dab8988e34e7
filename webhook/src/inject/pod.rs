//! The fields of a pod that decide about the injection, borrowed from the review's bytes. All
//! others are skipped without being looked at.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The annotation of a static pod's mirror.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod as the API server sent it.
#[derive(Debug, Default, Deserialize)]
pub struct Pod<'a> {
    #[serde(borrow, default)]
    pub(super) metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub(super) spec: Spec<'a>,
}

impl<'a> Pod<'a> {
    /// The pod's name, or the prefix that the API server will make one from.
    pub fn name(&self) -> &str {
        if self.metadata.name.as_str().is_empty() {
            self.metadata.generate_name.as_str()
        } else {
            self.metadata.name.as_str()
        }
    }

    /// The name of the pod's service account, `default` when it names none.
    pub fn service_account(&self) -> &str {
        [&self.spec.service_account_name, &self.spec.service_account]
            .into_iter()
            .map(Text::as_str)
            .find(|name| !name.is_empty())
            .unwrap_or("default")
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.value(key)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.value(key)
    }

    pub(super) fn init_containers(&self) -> &[Container<'a>] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    pub(super) fn containers(&self) -> &[Container<'a>] {
        self.spec.containers.as_deref().unwrap_or_default()
    }

    pub(super) fn volumes(&self) -> &[Volume<'a>] {
        self.spec.volumes.as_deref().unwrap_or_default()
    }

    /// Every container with the name of its list and its index there.
    pub(super) fn all_containers(
        &self,
    ) -> impl Iterator<Item = (&'static str, usize, &Container<'a>)> {
        let init = self.init_containers().iter().enumerate();
        let main = self.containers().iter().enumerate();
        init.map(|(index, it)| ("initContainers", index, it))
            .chain(main.map(|(index, it)| ("containers", index, it)))
    }

    /// Whether the pod as a whole requests resources or has limits.
    pub(super) fn has_resources(&self) -> bool {
        self.spec.resources.as_ref().is_some_and(|resources| {
            let lists = [&resources.requests, &resources.limits];
            lists.into_iter().flatten().any(|list| !list.is_empty())
        })
    }

    pub(super) fn is_windows(&self) -> bool {
        let selected = self.spec.node_selector.as_ref();
        let selected = selected.and_then(|labels| labels.value("kubernetes.io/os"));
        let named = self.spec.os.as_ref().map(|os| os.name.as_str());
        [selected, named].contains(&Some("windows"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    generate_name: Text<'a>,
    #[serde(borrow)]
    pub(super) annotations: Option<Entries<'a>>,
    #[serde(borrow)]
    pub(super) labels: Option<Entries<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec<'a> {
    #[serde(borrow)]
    pub(super) containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(super) init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(super) volumes: Option<Vec<Volume<'a>>>,
    #[serde(borrow)]
    service_account_name: Text<'a>,
    #[serde(borrow)]
    service_account: Text<'a>,
    pub(super) host_network: Option<bool>,
    pub(super) security_context: Option<SecurityContext>,
    #[serde(borrow)]
    os: Option<Os<'a>>,
    #[serde(borrow)]
    node_selector: Option<Entries<'a>>,
    resources: Option<PodResources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) env: Option<Vec<Variable<'a>>>,
    env_from: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    pub(super) volume_mounts: Option<Vec<VolumeMount<'a>>>,
    #[serde(borrow)]
    pub(super) ports: Option<Vec<Port<'a>>>,
    #[serde(borrow)]
    pub(super) restart_policy: Text<'a>,
    pub(super) security_context: Option<SecurityContext>,
    #[serde(borrow)]
    command: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

impl<'a> Container<'a> {
    /// A container that has nothing but a name.
    pub(super) fn named(name: &'a str) -> Self {
        Self {
            name: Text(Cow::Borrowed(name)),
            ..Self::default()
        }
    }

    /// Whether the container has the variable, with whatever value.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.variable(name).is_some()
    }

    /// The variable's index and value, empty when it comes from elsewhere.
    pub(super) fn variable(&self, name: &str) -> Option<(usize, &str)> {
        let variables = self.env.as_deref().unwrap_or_default().iter();
        variables
            .enumerate()
            .find(|(_, variable)| variable.name.as_str() == name)
            .map(|(index, variable)| (index, variable.value.as_str()))
    }

    /// Whether the command line or a variable has `address` in it. Lists of exceptions from a proxy
    /// do not count.
    pub(super) fn mentions(&self, address: &str) -> bool {
        let command_line = [self.command, self.args].into_iter().flatten();
        let mut variables = self.env.iter().flatten();
        command_line
            .map(RawValue::get)
            .any(|it| it.contains(address))
            || variables.any(|variable| {
                !variable.name.as_str().eq_ignore_ascii_case("NO_PROXY")
                    && variable.value.as_str().contains(address)
            })
    }

    /// Whether the container may have the variable: `envFrom` brings names that the pod does not
    /// tell.
    pub(super) fn may_set(&self, name: &str) -> bool {
        self.sets(name) || self.env_from.as_ref().is_some_and(|from| !from.is_empty())
    }

    pub(super) fn mounts(&self) -> &[VolumeMount<'a>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }

    /// Whether the init container keeps running beside the others (KEP-753).
    pub(super) fn is_native_sidecar(&self) -> bool {
        self.restart_policy.as_str() == "Always"
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Variable<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VolumeMount<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    mount_path: Text<'a>,
    #[serde(borrow)]
    sub_path: Text<'a>,
    #[serde(borrow)]
    sub_path_expr: Text<'a>,
}

impl VolumeMount<'_> {
    /// Where it is mounted, without trailing slashes.
    pub(super) fn directory(&self) -> &str {
        self.mount_path.as_str().trim_end_matches('/')
    }

    /// Whether the whole volume is mounted. A part of it is never refreshed by the kubelet.
    pub(super) fn is_whole(&self) -> bool {
        self.sub_path.as_str().is_empty() && self.sub_path_expr.as_str().is_empty()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Port<'a> {
    pub(super) container_port: Option<i64>,
    #[serde(borrow)]
    protocol: Text<'a>,
}

impl Port<'_> {
    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.protocol.as_str(), "" | "TCP")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SecurityContext {
    pub(super) run_as_user: Option<i64>,
}

/// What the whole pod asks for and may use (KEP-2837).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodResources {
    requests: Option<HashMap<String, IgnoredAny>>,
    limits: Option<HashMap<String, IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Os<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Volume<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    projected: Option<Projected<'a>>,
}

impl<'a> Volume<'a> {
    /// The service account tokens that the volume projects.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &ServiceAccountToken<'a>> {
        let sources = self
            .projected
            .as_ref()
            .and_then(|projected| projected.sources.as_deref());
        let sources = sources.unwrap_or_default().iter();
        sources.filter_map(|source| source.service_account_token.as_ref())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Projected<'a> {
    #[serde(borrow)]
    sources: Option<Vec<Source<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source<'a> {
    #[serde(borrow)]
    service_account_token: Option<ServiceAccountToken<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceAccountToken<'a> {
    #[serde(borrow)]
    pub(super) audience: Text<'a>,
    #[serde(borrow)]
    pub(super) path: Text<'a>,
}

/// A string, empty when it is null. Borrowed unless it has escapes.
#[derive(Debug, Default)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// A map of labels or annotations, of which the product's keys and a few others are kept.
#[derive(Debug, Default)]
pub(super) struct Entries<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Entries<'_> {
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| name.as_str() == key)?;
        Some(value.as_str())
    }

    /// The product's own keys.
    pub(super) fn own_keys(&self) -> impl Iterator<Item = &str> {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.filter(|name| name.starts_with(contract::annotation::PREFIX))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    if is_kept(name.as_str()) {
                        entries.push((name, map.next_value()?));
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

fn is_kept(key: &str) -> bool {
    key.starts_with(contract::annotation::PREFIX)
        || key == super::sidecar::DEFAULT_CONTAINER
        || key == MIRROR
        || key == "kubernetes.io/os"
}
