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
        let text = pod.annotation(annotation::INJECTED);
        let text = text.filter(|text| text.len() <= MAX_LENGTH)?;
        serde_json::from_str(text).ok()
    }
}

/// In bytes. The webhook does not write longer ones for pods that can be stored.
const MAX_LENGTH: usize = 64 * 1024;
