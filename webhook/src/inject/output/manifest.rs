//! The parts of a pod that the webhook writes, with the field names of the Kubernetes API.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use super::json::{WriteJson, write_json, write_string};
use crate::inject::policy::label_selector::LabelSelector;
use crate::inject::policy::resources::Resources;
use crate::inject::policy::seccomp::SeccompProfile;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EnvVar<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Value<'a>,
}

impl<'a> EnvVar<'a> {
    pub(crate) fn text(name: &'a str, value: &'a str) -> Self {
        let value = Value::Text(value);
        Self { name, value }
    }
}

/// Written by hand: variables are most of a patch's strings.
impl WriteJson for EnvVar<'_> {
    fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(br#"{"name":"#);
        write_string(text, self.name);
        text.extend_from_slice(br#","value":"#);
        match self.value {
            Value::Text(value) => write_string(text, value),
            value => write_json(text, &value),
        }
        text.push(b'}');
    }
}

/// The value of a variable, formatted when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// The path `directory/file`.
    File {
        directory: &'a str,
        file: &'a str,
    },
    /// A port, or seconds.
    Number(u32),
    Text(&'a str),
}

impl Value<'_> {
    /// Bytes of the value, for numbers a lower bound.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::File { directory, file } => directory.len() + 1 + file.len(),
            Self::Number(_) => 1,
            Self::Text(text) => text.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { directory, file } => write!(formatter, "{directory}/{file}"),
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            other => serializer.collect_str(other),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMount<'a> {
    pub(crate) name: &'a str,
    pub(crate) mount_path: &'a str,
    pub(crate) read_only: bool,
}

impl WriteJson for VolumeMount<'_> {
    fn write(&self, text: &mut Vec<u8>) {
        write_json(text, self);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Volume<'a> {
    pub(crate) name: &'a str,
    pub(crate) projected: Projected<'a>,
}

impl WriteJson for Volume<'_> {
    fn write(&self, text: &mut Vec<u8>) {
        write_json(text, self);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Projected<'a> {
    pub(crate) sources: [Source<'a>; 1],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source<'a> {
    #[serde(rename_all = "camelCase")]
    ClusterTrustBundle {
        signer_name: &'a str,
        label_selector: &'a LabelSelector,
        path: &'a str,
    },
    ConfigMap {
        name: &'a str,
        items: [KeyToPath<'a>; 1],
    },
    #[serde(rename_all = "camelCase")]
    ServiceAccountToken {
        audience: &'a str,
        expiration_seconds: u32,
        path: &'a str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct KeyToPath<'a> {
    pub(crate) key: &'a str,
    pub(crate) path: &'a str,
}

/// The fields of an injected container. Those that depend on the pod come from
/// [`NewContainer`](super::additions::NewContainer).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerFields<'a> {
    pub(crate) name: &'static str,
    pub(crate) image: &'a str,
    pub(crate) image_pull_policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) resources: Cow<'a, Resources>,
    pub(crate) security_context: SecurityContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle: Option<Lifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restart_policy: Option<&'static str>,
    pub(crate) termination_message_policy: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerPort {
    pub(crate) container_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityContext<'a> {
    pub(crate) allow_privilege_escalation: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) privileged: bool,
    pub(crate) read_only_root_filesystem: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_group: Option<u32>,
    pub(crate) run_as_non_root: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_user: Option<u32>,
    pub(crate) seccomp_profile: &'a SeccompProfile,
}

#[derive(Debug, Serialize)]
pub(crate) struct Capabilities {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) add: &'static [&'static str],
    pub(crate) drop: [&'static str; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lifecycle {
    pub(crate) post_start: ExecHandler,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExecHandler {
    pub(crate) exec: Exec,
}

#[derive(Debug, Serialize)]
pub(crate) struct Exec {
    pub(crate) command: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn writes_a_variable_as_serde_json_does(name in ".*", text in ".*", number: u32) {
            let file = Value::File { directory: "/var", file: &text };
            for value in [Value::Text(&text), Value::Number(number), file] {
                let variable = EnvVar { name: &name, value };
                let mut written = Vec::new();
                variable.write(&mut written);
                prop_assert_eq!(written, serde_json::to_vec(&variable).unwrap());
            }
        }
    }
}
