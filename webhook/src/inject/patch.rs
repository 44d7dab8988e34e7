//! A JSON Patch (RFC 6902), written as the text that it travels as: no operation is kept in memory in
//! another form.

use std::collections::BTreeMap;

use serde::Serialize;

use super::denial::Denial;
use super::pod::Pod;
use super::spec::Container;

/// The operations on one pod, in order.
#[derive(Debug)]
pub(super) struct Patch {
    /// `[` and the operations, with commas between them.
    text: Vec<u8>,
}

/// Room for what a pod of one container gets with the proxy: most patches never grow.
const USUAL_LENGTH: usize = 4096;
/// No more than this is added to a pod: etcd takes no object that is larger.
const MAX_LENGTH: usize = 2 * 1024 * 1024;

impl Patch {
    /// The patch that does nothing.
    pub(super) fn new() -> Self {
        let mut text = Vec::with_capacity(USUAL_LENGTH);
        text.push(b'[');
        Self { text }
    }

    /// The text, none when there is nothing to do.
    pub(super) fn into_json(mut self) -> Option<Vec<u8>> {
        if self.text.len() == 1 {
            return None;
        }
        self.text.push(b']');
        Some(self.text)
    }

    /// Some of what is added is in every container, and names in a review may have any length.
    ///
    /// # Errors
    ///
    /// When the pod could not be stored with it.
    pub(super) fn check_length(&self) -> Result<(), Denial> {
        if self.text.len() > MAX_LENGTH {
            return Err(Denial::TooLarge);
        }
        Ok(())
    }

    /// Replaces a value that was injected before.
    pub(super) fn replace(&mut self, path: &[&str], value: &impl Serialize) {
        self.push("replace", path, |text| write_json(text, value));
    }

    /// Appends to the list `name` of the object at `place`, which has `length` elements or does not
    /// exist (or is null: nothing can be appended to that).
    pub(super) fn extend_list<T: Serialize>(
        &mut self,
        place: &str,
        name: &str,
        length: Option<usize>,
        items: &[T],
    ) {
        if items.is_empty() {
            return;
        }
        if length.is_some() {
            for item in items {
                self.push("add", &[place, "/", name, "/-"], |text| {
                    write_json(text, item)
                });
            }
        } else {
            self.push("add", &[place, "/", name], |text| write_json(text, &items));
        }
    }

    /// Inserts into the pod's list `name`, which has `length` elements or does not exist, before
    /// `index`.
    pub(super) fn insert(
        &mut self,
        name: &str,
        length: Option<usize>,
        index: usize,
        containers: &[Container<'_>],
    ) {
        const PLACE: &str = "/spec/";
        if length.is_some() {
            // The last one first, so that each lands before the one inserted ahead of it.
            let index = index.to_string();
            for container in containers.iter().rev() {
                self.push("add", &[PLACE, name, "/", &index], |text| {
                    container.write(text)
                });
            }
        } else if !containers.is_empty() {
            self.push("add", &[PLACE, name], |text| {
                let mut before = b'[';
                for container in containers {
                    text.push(std::mem::replace(&mut before, b','));
                    container.write(text);
                }
                text.push(b']');
            });
        }
    }

    /// Sets annotations of the product's.
    pub(super) fn annotate(&mut self, pod: &Pod<'_>, annotations: &[(&'static str, String)]) {
        const PLACE: &str = "/metadata/annotations";
        if annotations.is_empty() {
            return;
        }
        let Some(existing) = &pod.metadata.annotations else {
            let map: BTreeMap<_, _> = annotations
                .iter()
                .map(|(name, value)| (name, value))
                .collect();
            return self.push("add", &[PLACE], |text| write_json(text, &map));
        };
        for (name, value) in annotations {
            let op = match existing.value(name) {
                Some(_) => "replace",
                None => "add",
            };
            let path = [PLACE, "/", &escaped(name)];
            self.push(op, &path, |text| write_json(text, value));
        }
    }

    /// The parts of a path are names of fields, indexes, or keys of ours in [`escaped`] form: no text
    /// in them needs JSON's escapes.
    fn push(&mut self, op: &'static str, path: &[&str], write: impl FnOnce(&mut Vec<u8>)) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        self.text.extend_from_slice(b"{\"op\":\"");
        self.text.extend_from_slice(op.as_bytes());
        self.text.extend_from_slice(b"\",\"path\":\"");
        for part in path {
            self.text.extend_from_slice(part.as_bytes());
        }
        self.text.extend_from_slice(b"\",\"value\":");
        write(&mut self.text);
        self.text.push(b'}');
    }
}

/// Appends a value as JSON.
pub(super) fn write_json(text: &mut Vec<u8>, value: &impl Serialize) {
    // Memory takes everything, and the keys of all maps are strings.
    let written = serde_json::to_writer(text, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// A key as a segment of a JSON Pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped() {
        assert_eq!(
            escaped("azure.workload.identity/use~x"),
            "azure.workload.identity~1use~0x"
        );
    }
}
