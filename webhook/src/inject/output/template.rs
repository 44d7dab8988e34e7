//! Containers that are rendered once for many pods.

use std::fmt;

use super::json::write_json;
use super::manifest::ContainerFields;

/// A container without the variables and mounts of one pod, as JSON without its last brace.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<u8>);

impl Template {
    pub(crate) fn new(fields: &ContainerFields<'_>) -> Self {
        let mut text = Vec::new();
        write_json(&mut text, fields);
        text.pop();
        Self(text)
    }

    /// The JSON, to which further fields and a brace are appended.
    pub(crate) fn open_object(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Template({}…)", String::from_utf8_lossy(&self.0))
    }
}
