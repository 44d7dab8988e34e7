//! The fields of a pod that a decision needs, borrowed from the review's bytes. All others are
//! skipped, so the webhook cannot change them.

use std::fmt;

use contract::annotation::PREFIX;
use contract::container;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::entries::Entries;
use super::qos::ContainerResources;
use super::text::Text;
use super::volume::Volume;
use super::windows::{self, Affinity, WindowsOptions};

/// A pod as the API server sent it.
#[derive(Debug, Default, Deserialize)]
pub struct Pod<'a> {
    #[serde(borrow, default)]
    pub(crate) metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub(crate) spec: Spec<'a>,
}

impl<'a> Pod<'a> {
    /// The pod's name, or the prefix that the API server will make one from.
    #[must_use]
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

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.value(key)
    }

    /// The annotation's value. One of the product's that is empty counts as absent: templates write such
    /// values for what their user left out.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        let value = self.metadata.annotations.as_ref()?.value(key)?;
        let is_absent = key.starts_with(PREFIX) && value.trim().is_empty();
        (!is_absent).then_some(value)
    }

    /// Whether the pod has the annotation, even if it is empty.
    pub(crate) fn has_annotation(&self, key: &str) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.is_some_and(|it| it.value(key).is_some())
    }

    pub(crate) fn containers(&self) -> &[Container<'a>] {
        self.spec.containers.as_deref().unwrap_or_default()
    }

    pub(crate) fn volumes(&self) -> &[Volume<'a>] {
        self.spec.volumes.as_deref().unwrap_or_default()
    }

    /// Every container and its place: init containers first, as they start first.
    pub(crate) fn all_containers(&self) -> impl Iterator<Item = (Place, &Container<'a>)> {
        [List::InitContainers, List::Containers]
            .into_iter()
            .flat_map(|list| {
                let containers = self.list(list).unwrap_or_default().iter().enumerate();
                containers.map(move |(index, it)| (Place { list, index }, it))
            })
    }

    /// The containers of a list, none where the pod lacks the list or it is null.
    pub(crate) fn list(&self, list: List) -> Option<&[Container<'a>]> {
        match list {
            List::InitContainers => self.spec.init_containers.as_deref(),
            List::Containers => self.spec.containers.as_deref(),
        }
    }

    /// The container at a place.
    pub(crate) fn container(&self, place: Place) -> Option<&Container<'a>> {
        self.list(place.list)?.get(place.index)
    }

    /// The proxy, if the pod has it already.
    pub(crate) fn proxy(&self) -> Option<&Container<'a>> {
        let mut containers = self.all_containers().map(|(_, existing)| existing);
        containers.find(|existing| existing.name.as_str() == container::PROXY)
    }

    pub(crate) fn uses_host_network(&self) -> bool {
        self.spec.host_network == Some(true)
    }

    /// Whether the pod has requests or limits of its own (KEP-2837), shared by its containers.
    pub(crate) fn has_resources(&self) -> bool {
        self.spec.resources.as_ref().is_some_and(|resources| {
            let lists = [&resources.requests, &resources.limits];
            lists.into_iter().flatten().any(|list| !list.is_empty)
        })
    }

    /// The field that asks for Windows, see [`windows::field`].
    pub(crate) fn windows(&self) -> Option<&'static str> {
        let spec = &self.spec;
        let containers = self.all_containers().map(|(_, it)| &it.security_context);
        let contexts = containers.chain([&spec.security_context]);
        let options = contexts.filter_map(|it| it.as_ref()?.windows_options.as_ref());
        let os = spec.os.as_ref().map(|it| it.name.as_str());
        windows::field(
            os.unwrap_or_default(),
            spec.node_selector.as_ref(),
            spec.affinity.as_ref(),
            options,
        )
    }

    /// Whether the pod is of class Guaranteed without the injected containers.
    pub(crate) fn is_guaranteed(&self) -> bool {
        let own = self.all_containers().map(|(_, existing)| existing);
        let mut own = own.filter(|existing| !existing.is_injected()).peekable();
        !self.has_resources()
            && own.peek().is_some()
            && own.all(|it| {
                it.resources
                    .as_ref()
                    .is_some_and(ContainerResources::are_guaranteed)
            })
    }

    /// `runAsUser` of the pod, for containers that set none.
    pub(crate) fn run_as_user(&self) -> Option<i64> {
        self.spec.security_context.as_ref()?.run_as_user
    }
}

/// One of a pod's lists of containers. Ephemeral containers cannot have volumes and are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    InitContainers,
    Containers,
}

impl List {
    /// The field's name in a pod's `spec`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InitContainers => "initContainers",
            Self::Containers => "containers",
        }
    }
}

/// The place of a container in the pod as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) list: List,
    pub(crate) index: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    generate_name: Text<'a>,
    #[serde(borrow)]
    pub(crate) annotations: Option<Entries<'a>>,
    #[serde(borrow)]
    pub(crate) labels: Option<Entries<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec<'a> {
    #[serde(borrow)]
    pub(crate) containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(crate) init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(crate) volumes: Option<Vec<Volume<'a>>>,
    #[serde(borrow)]
    service_account_name: Text<'a>,
    #[serde(borrow)]
    service_account: Text<'a>,
    host_network: Option<bool>,
    security_context: Option<SecurityContext>,
    #[serde(borrow)]
    os: Option<Os<'a>>,
    #[serde(borrow)]
    node_selector: Option<Entries<'a>>,
    #[serde(borrow)]
    affinity: Option<Affinity<'a>>,
    resources: Option<PodResources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) image: Text<'a>,
    #[serde(borrow)]
    pub(crate) env: Option<Vec<Variable<'a>>>,
    env_from: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    pub(crate) volume_mounts: Option<Vec<VolumeMount<'a>>>,
    #[serde(borrow)]
    ports: Option<Vec<Port<'a>>>,
    #[serde(borrow)]
    restart_policy: Text<'a>,
    security_context: Option<SecurityContext>,
    #[serde(borrow)]
    command: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    resources: Option<ContainerResources<'a>>,
}

impl<'a> Container<'a> {
    /// A container that has nothing but a name.
    pub(crate) fn named(name: &'a str) -> Self {
        Self {
            name: Text::borrowed(name),
            ..Self::default()
        }
    }

    /// Whether the webhook makes containers of this name.
    pub(crate) fn is_injected(&self) -> bool {
        [container::PROXY, container::PROXY_INIT].contains(&self.name.as_str())
    }

    /// Whether `env` has the variable, with any value or source.
    pub(crate) fn sets(&self, name: &str) -> bool {
        self.variable(name).is_some()
    }

    /// The variable's index in `env` and its value, empty for `valueFrom`.
    pub(crate) fn variable(&self, name: &str) -> Option<(usize, &str)> {
        let variables = self.env.as_deref().unwrap_or_default().iter();
        variables
            .enumerate()
            .find(|(_, variable)| variable.name.as_str() == name)
            .map(|(index, variable)| (index, variable.value.as_str()))
    }

    /// Whether `env` has the variable with a value, or takes the value from elsewhere.
    pub(crate) fn has_value(&self, name: &str) -> bool {
        let mut variables = self.env.iter().flatten();
        variables.any(|it| {
            it.name.as_str() == name && (!it.value.as_str().is_empty() || it.value_from.is_some())
        })
    }

    /// Whether the container may have the variable. The names that `envFrom` brings are not in the
    /// pod.
    pub(crate) fn may_set(&self, name: &str) -> bool {
        self.sets(name) || !self.has_no_env_from()
    }

    /// Whether every entry of `env` with this name has this value.
    pub(crate) fn sets_only(&self, name: &str, value: &str) -> bool {
        let mut variables = self.env.iter().flatten();
        variables.all(|it| it.name.as_str() != name || it.value.as_str() == value)
    }

    pub(crate) fn has_no_env_from(&self) -> bool {
        self.env_from.as_ref().is_none_or(Vec::is_empty)
    }

    /// Whether `command` is absent, null or empty.
    pub(crate) fn has_no_command(&self) -> bool {
        is_empty_list(self.command)
    }

    /// Whether `args` is absent, null or empty.
    pub(crate) fn has_no_arguments(&self) -> bool {
        is_empty_list(self.args)
    }

    /// Whether `command` is this word alone.
    pub(crate) fn is_command(&self, word: &str) -> bool {
        let words = self.command.map(RawValue::get);
        let words = words.and_then(|it| serde_json::from_str::<[Text<'_>; 1]>(it).ok());
        words.is_some_and(|[only]| only.as_str() == word)
    }

    /// Whether the command line or a variable contains `address`. `NO_PROXY` does not count: it
    /// lists addresses that bypass an egress proxy.
    pub(crate) fn mentions(&self, address: &str) -> bool {
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

    pub(crate) fn mounts(&self) -> &[VolumeMount<'a>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }

    /// Whether the container, in this list, declares the TCP port and runs beside the proxy. An init
    /// container that ends has freed its port by then.
    pub(crate) fn listens(&self, list: List, port: u16) -> bool {
        let runs_beside_proxy = list == List::Containers || self.is_native_sidecar();
        let mut ports = self.ports.iter().flatten();
        runs_beside_proxy && ports.any(|it| it.is_tcp() && it.container_port == Some(port.into()))
    }

    pub(crate) fn run_as_user(&self) -> Option<i64> {
        self.security_context.as_ref()?.run_as_user
    }

    /// The number of the first declared port.
    pub(crate) fn first_port(&self) -> Option<u16> {
        let port = self.ports.as_ref()?.first()?.container_port?;
        port.try_into().ok()
    }

    /// An init container that keeps running beside the others (KEP-753).
    pub(crate) fn is_native_sidecar(&self) -> bool {
        self.restart_policy.as_str() == "Always"
    }
}

/// A list is not kept: it may be as long as the review.
fn is_empty_list(list: Option<&RawValue>) -> bool {
    list.is_none_or(|list| serde_json::from_str::<[IgnoredAny; 0]>(list.get()).is_ok())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Variable<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) value: Text<'a>,
    value_from: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VolumeMount<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    mount_path: Text<'a>,
    #[serde(borrow)]
    sub_path: Text<'a>,
    #[serde(borrow)]
    sub_path_expr: Text<'a>,
    read_only: Option<bool>,
}

impl VolumeMount<'_> {
    /// The mount path without trailing slashes.
    pub(crate) fn directory(&self) -> &str {
        self.mount_path.as_str().trim_end_matches('/')
    }

    /// Whether the whole volume is mounted. The kubelet never refreshes a sub path.
    pub(crate) fn is_whole(&self) -> bool {
        self.sub_path.as_str().is_empty() && self.sub_path_expr.as_str().is_empty()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only == Some(true)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port<'a> {
    container_port: Option<i64>,
    #[serde(borrow)]
    protocol: Text<'a>,
}

impl Port<'_> {
    fn is_tcp(&self) -> bool {
        matches!(self.protocol.as_str(), "" | "TCP")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    run_as_user: Option<i64>,
    windows_options: Option<WindowsOptions>,
}

/// Requests and limits of the whole pod (KEP-2837).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodResources {
    requests: Option<Amounts>,
    limits: Option<Amounts>,
}

/// A map whose entries are not kept.
#[derive(Debug)]
struct Amounts {
    is_empty: bool,
}

impl<'de> Deserialize<'de> for Amounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountsVisitor;

        impl<'de> Visitor<'de> for AmountsVisitor {
            type Value = Amounts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of quantities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Amounts, A::Error> {
                let mut is_empty = true;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    is_empty = false;
                }
                Ok(Amounts { is_empty })
            }
        }

        deserializer.deserialize_map(AmountsVisitor)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Os<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}
