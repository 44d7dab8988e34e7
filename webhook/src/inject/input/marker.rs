//! The annotation `injected`, in which the webhook records for its next run what it injected.

use std::borrow::Cow;

use contract::annotation;
use serde::{Deserialize, Serialize};

use super::pod::Pod;

/// The annotation's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Marker<'a> {
    #[serde(borrow)]
    pub(crate) client_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) tenant_id: Cow<'a, str>,
    /// Variables that the user had set to the injected value, as `container/VARIABLE`. They are never
    /// replaced.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) kept: Cow<'a, [String]>,
    /// The mode, if the namespace chose it. The other entry of the webhook configuration does not know the
    /// namespace.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) mode_of_namespace: Option<Cow<'a, str>>,
}

impl<'a> Marker<'a> {
    /// Reads the pod's annotation. A damaged one counts as none.
    pub(crate) fn read(pod: &'a Pod<'_>) -> Option<Self> {
        Self::parse(pod.annotation(annotation::INJECTED)?)
    }

    fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        serde_json::from_str(text).ok()
    }
}

/// The client id that the webhook gave a pod, by the value of its annotation `injected`: empty if the service
/// account had none, `None` if the value is damaged.
#[must_use]
pub fn injected_client_id(value: &str) -> Option<String> {
    Some(Marker::parse(value)?.client_id.into_owned())
}

/// In bytes. The webhook does not write longer ones for pods that can be stored.
const MAX_LENGTH: usize = 64 * 1024;
