//! The pieces of a pod that the webhook writes, in the API's spelling.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::patch::write_json;
use super::resources::Resources;
use super::seccomp::SeccompProfile;

#[derive(Clone, Debug, Serialize)]
pub(super) struct EnvVar<'a> {
    pub(super) name: &'a str,
    pub(super) value: Cow<'a, str>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount<'a> {
    pub(super) name: &'a str,
    pub(super) mount_path: &'a str,
    pub(super) read_only: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Volume<'a> {
    pub(super) name: &'a str,
    pub(super) projected: Projected<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Projected<'a> {
    pub(super) sources: [Source<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Source<'a> {
    #[serde(rename_all = "camelCase")]
    ClusterTrustBundle {
        signer_name: &'a str,
        label_selector: LabelSelector<'a>,
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LabelSelector<'a> {
    pub(super) match_labels: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct KeyToPath<'a> {
    pub(super) key: &'a str,
    pub(super) path: &'a str,
}

/// A new container: what many pods share, and what this one has besides.
#[derive(Debug)]
pub(super) struct Container<'a> {
    pub(super) frame: &'a Frame,
    pub(super) env: Vec<EnvVar<'a>>,
    pub(super) volume_mounts: Vec<VolumeMount<'a>>,
}

impl Container<'_> {
    /// Appends it as JSON.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.frame.0);
        if !self.env.is_empty() {
            text.extend_from_slice(b",\"env\":");
            write_json(text, &self.env);
        }
        if !self.volume_mounts.is_empty() {
            text.extend_from_slice(b",\"volumeMounts\":");
            write_json(text, &self.volume_mounts);
        }
        text.push(b'}');
    }
}

/// The part of a container that many pods share, as JSON without the brace at its end.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    pub(super) fn new(fields: &Fields<'_>) -> Self {
        let mut text = Vec::new();
        write_json(&mut text, fields);
        text.pop();
        Self(text)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields<'a> {
    pub(super) name: &'static str,
    pub(super) image: &'a str,
    pub(super) image_pull_policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) env: Vec<EnvVar<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<ContainerPort>,
    pub(super) resources: Cow<'a, Resources>,
    pub(super) security_context: SecurityContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifecycle: Option<Lifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restart_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) startup_probe: Option<Probe>,
    pub(super) termination_message_policy: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub(super) container_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecurityContext<'a> {
    pub(super) allow_privilege_escalation: bool,
    pub(super) capabilities: Capabilities,
    pub(super) privileged: bool,
    pub(super) read_only_root_filesystem: bool,
    pub(super) run_as_group: u32,
    pub(super) run_as_non_root: bool,
    pub(super) run_as_user: u32,
    pub(super) seccomp_profile: &'a SeccompProfile,
}

#[derive(Debug, Serialize)]
pub(super) struct Capabilities {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) add: &'static [&'static str],
    pub(super) drop: [&'static str; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lifecycle {
    pub(super) post_start: ExecHandler,
}

#[derive(Debug, Serialize)]
pub(super) struct ExecHandler {
    pub(super) exec: Exec,
}

#[derive(Debug, Serialize)]
pub(super) struct Exec {
    pub(super) command: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Probe {
    pub(super) exec: Exec,
    pub(super) failure_threshold: u32,
    pub(super) period_seconds: u32,
    pub(super) timeout_seconds: u32,
}
