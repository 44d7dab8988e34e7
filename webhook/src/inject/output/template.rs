//! Containers that are rendered once for many pods.

use std::fmt;

use serde::Serialize;

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

/// Appends a value as JSON.
pub(crate) fn write_json(text: &mut Vec<u8>, value: &impl Serialize) {
    // It cannot fail: a Vec takes every byte, and every map key is a string.
    let written = serde_json::to_writer(text, value);
    debug_assert!(written.is_ok(), "{written:?}");
}
