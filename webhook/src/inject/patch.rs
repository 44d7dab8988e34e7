//! A JSON Patch (RFC 6902), made by hand.

use serde::Serialize;

use super::pod::Pod;
use super::spec::{Container, EnvVar, Volume, VolumeMount};

/// The operations on one pod, in order.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Patch<'a> {
    operations: Vec<Operation<'a>>,
}

impl<'a> Patch<'a> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The operations.
    pub fn operations(&self) -> &[Operation<'a>] {
        &self.operations
    }

    /// Adds a value at a place, or before what an array has there.
    pub(super) fn add(&mut self, path: impl Into<String>, value: impl Into<Value<'a>>) {
        self.push("add", path.into(), value.into());
    }

    /// Replaces a value that was injected before.
    pub(super) fn replace(&mut self, path: impl Into<String>, value: impl Into<Value<'a>>) {
        self.push("replace", path.into(), value.into());
    }

    /// Appends to the array at `path`, which has `length` elements or does not exist (or is null:
    /// nothing can be appended to that).
    pub(super) fn extend_list<T>(&mut self, path: &str, length: Option<usize>, items: Vec<T>)
    where
        T: Into<Value<'a>>,
    {
        if items.is_empty() {
            return;
        }
        let items = items.into_iter().map(Into::into);
        if length.is_some() {
            items.for_each(|item| self.push("add", format!("{path}/-"), item));
        } else {
            self.push("add", path.to_owned(), Value::List(items.collect()));
        }
    }

    /// Inserts into the array at `path`, which has `length` elements or does not exist, before
    /// `index`.
    pub(super) fn insert<T>(
        &mut self,
        path: &str,
        length: Option<usize>,
        index: usize,
        items: Vec<T>,
    ) where
        T: Into<Value<'a>>,
    {
        if length.is_some() {
            // The last one first, so that each lands before the one inserted ahead of it.
            for item in items.into_iter().rev() {
                self.push("add", format!("{path}/{index}"), item.into());
            }
        } else {
            self.extend_list(path, None, items);
        }
    }

    /// Sets annotations of the product's.
    pub(super) fn annotate(&mut self, pod: &Pod<'_>, annotations: Vec<(&'static str, String)>) {
        if annotations.is_empty() {
            return;
        }
        let Some(existing) = &pod.metadata.annotations else {
            let map = annotations.into_iter().collect();
            return self.add("/metadata/annotations", Value::Map(map));
        };
        for (name, value) in annotations {
            let path = format!("/metadata/annotations/{}", escaped(name));
            if existing.value(name).is_some() {
                self.replace(path, value);
            } else {
                self.add(path, value);
            }
        }
    }

    fn push(&mut self, op: &'static str, path: String, value: Value<'a>) {
        self.operations.push(Operation { op, path, value });
    }
}

/// One operation: `add`, or `replace` for what was injected before.
#[derive(Debug, Serialize)]
pub struct Operation<'a> {
    op: &'static str,
    path: String,
    value: Value<'a>,
}

/// What is added.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Value<'a> {
    Container(Box<Container<'a>>),
    EnvVar(EnvVar<'a>),
    List(Vec<Self>),
    Map(std::collections::BTreeMap<&'static str, String>),
    Text(String),
    Volume(Volume<'a>),
    VolumeMount(VolumeMount<'a>),
}

impl<'a> From<Container<'a>> for Value<'a> {
    fn from(container: Container<'a>) -> Self {
        Self::Container(Box::new(container))
    }
}

impl<'a> From<EnvVar<'a>> for Value<'a> {
    fn from(variable: EnvVar<'a>) -> Self {
        Self::EnvVar(variable)
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Volume<'a>> for Value<'a> {
    fn from(volume: Volume<'a>) -> Self {
        Self::Volume(volume)
    }
}

impl<'a> From<VolumeMount<'a>> for Value<'a> {
    fn from(mount: VolumeMount<'a>) -> Self {
        Self::VolumeMount(mount)
    }
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
