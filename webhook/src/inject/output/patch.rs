//! Writes a JSON Patch (RFC 6902) as text: the only place that knows how [`Additions`] become
//! operations.

use super::additions::{Additions, ContainerAdditions, Move, NewContainer, NewContainers};
use super::json::{WriteJson, write_json, write_list, write_string};
use crate::inject::feedback::denial::Denial;
use crate::inject::input::pod::{List, Pod};

/// The patch in bytes. A longer one is refused, since etcd could not store the pod.
pub(crate) const MAX_LENGTH: usize = 2 * 1024 * 1024;

/// The operations that turn `pod` into a pod with the additions. None when there are none.
///
/// # Errors
///
/// [`Denial::TooLarge`] when the containers' part is longer than [`MAX_LENGTH`].
pub(crate) fn write(pod: &Pod<'_>, additions: &Additions<'_>) -> Result<Option<Vec<u8>>, Denial> {
    let mut patch = Patch::new();
    // Indexes are those of the pod as it came, so moves and new containers come after all that use one.
    for container in &additions.containers {
        patch.complete_container(pod, container);
        if patch.text.len() > MAX_LENGTH {
            return Err(Denial::TooLarge);
        }
    }
    let has_volumes = pod.spec.volumes.is_some();
    patch.append("/spec", "/volumes", has_volumes, &additions.volumes);
    for moved in &additions.moves {
        patch.reorder(*moved);
    }
    for new in &additions.new_containers {
        patch.insert(pod, new);
    }
    patch.annotate(pod, additions);
    Ok(patch.finish())
}

/// The operations so far.
struct Patch {
    /// `[` and the operations, with commas between them.
    text: Vec<u8>,
}

impl Patch {
    fn new() -> Self {
        // In bytes: the patch of a pod with one container and the proxy is shorter.
        const USUAL_LENGTH: usize = 4096;
        let mut text = Vec::with_capacity(USUAL_LENGTH);
        text.push(b'[');
        Self { text }
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.text.len() == 1 {
            return None;
        }
        self.text.push(b']');
        Some(self.text)
    }

    fn complete_container(&mut self, pod: &Pod<'_>, additions: &ContainerAdditions<'_>) {
        let Some(existing) = pod.container(additions.at) else {
            return;
        };
        let index = additions.at.index.to_string();
        let place = ["/spec/", additions.at.list.as_str(), "/", &index].concat();
        let has_mounts = existing.volume_mounts.is_some();
        self.append(&place, "/volumeMounts", has_mounts, &additions.mounts);
        for replacement in &additions.replacements {
            let index = replacement.index.to_string();
            let path = [&place, "/env/", &index, "/value"];
            self.operation("replace", &path, |text| {
                write_string(text, replacement.value);
            });
        }
        let has_variables = existing.env.is_some();
        self.prepend(&place, "/env", has_variables, &additions.variables);
    }

    /// As [`Self::append`], but before the items that are there: a variable's value may refer to those
    /// before it, `$(AZURE_CLIENT_ID)`, and the user's may refer to the injected ones.
    fn prepend<T: WriteJson>(&mut self, place: &str, list: &str, has_list: bool, items: &[T]) {
        if !has_list {
            return self.append(place, list, has_list, items);
        }
        // In reverse, each at the same index: the one before it pushes it back.
        for item in items.iter().rev() {
            let path = [place, list, "/0"];
            self.operation("add", &path, |text| item.write(text));
        }
    }

    /// Appends to a list, or adds it where the pod lacks it or it is null.
    fn append<T: WriteJson>(&mut self, place: &str, list: &str, has_list: bool, items: &[T]) {
        if items.is_empty() {
            return;
        }
        if has_list {
            for item in items {
                let path = [place, list, "/-"];
                self.operation("add", &path, |text| item.write(text));
            }
        } else {
            self.operation("add", &[place, list], |text| write_list(text, items));
        }
    }

    fn reorder(&mut self, moved: Move) {
        let list = List::InitContainers.as_str();
        let [from, to] = [moved.from, moved.to].map(|index| index.to_string());
        self.begin("move", &["/spec/", list, "/", &to]);
        for part in [r#","from":"/spec/"#, list, "/", &from, r#""}"#] {
            self.text.extend_from_slice(part.as_bytes());
        }
    }

    fn insert(&mut self, pod: &Pod<'_>, new: &NewContainers<'_>) {
        let list = new.at.list.as_str();
        if pod.list(new.at.list).is_some() {
            let index = new.at.index.to_string();
            // In reverse, each at the same index: the one before it pushes it back.
            for container in new.containers.iter().rev() {
                let path = ["/spec/", list, "/", &index];
                self.operation("add", &path, |text| container.write(text));
            }
        } else if !new.containers.is_empty() {
            self.operation("add", &["/spec/", list], |text| {
                write_list(text, &new.containers);
            });
        }
    }

    fn annotate(&mut self, pod: &Pod<'_>, additions: &Additions<'_>) {
        const PLACE: &str = "/metadata/annotations";
        let annotations = &additions.annotations;
        if annotations.is_empty() {
            return;
        }
        let Some(existing) = &pod.metadata.annotations else {
            return self.operation("add", &[PLACE], |text| {
                write_json(text, annotations);
            });
        };
        for (key, value) in annotations {
            let op = match existing.value(key) {
                Some(_) => "replace",
                None => "add",
            };
            let path = [PLACE, "/", &escaped(key)];
            self.operation(op, &path, |text| write_json(text, value));
        }
    }

    /// Writes one operation. A path consists of field names, indexes and [`escaped`] keys of the
    /// product's, so it needs no escapes of JSON.
    fn operation(
        &mut self,
        op: &'static str,
        path: &[&str],
        write_value: impl FnOnce(&mut Vec<u8>),
    ) {
        self.begin(op, path);
        self.text.extend_from_slice(b",\"value\":");
        write_value(&mut self.text);
        self.text.push(b'}');
    }

    /// Writes an operation up to its path.
    fn begin(&mut self, op: &'static str, path: &[&str]) {
        let text = &mut self.text;
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(b"{\"op\":\"");
        text.extend_from_slice(op.as_bytes());
        text.extend_from_slice(b"\",\"path\":\"");
        for part in path {
            text.extend_from_slice(part.as_bytes());
        }
        text.push(b'"');
    }
}

impl WriteJson for NewContainer<'_> {
    fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(self.template.open_object());
        if !self.variables.is_empty() {
            text.extend_from_slice(b",\"env\":");
            write_list(text, &self.variables);
        }
        if !self.mounts.is_empty() {
            text.extend_from_slice(b",\"volumeMounts\":");
            write_list(text, &self.mounts);
        }
        text.push(b'}');
    }
}

/// A key as a segment of a JSON Pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::input::pod::{List, Place};
    use crate::inject::output::additions::Replacement;
    use crate::inject::output::manifest::EnvVar;

    #[test]
    fn makes_no_patch_without_additions() {
        let additions = Additions::default();
        assert_eq!(write(&Pod::default(), &additions), Ok(None));
    }

    #[test]
    fn puts_variables_before_those_that_are_there() {
        let with_list = r#"{"spec":{"containers":[{"env":[{"name":"A","value":"old"}]}]}}"#;
        assert_eq!(
            written(with_list),
            concat!(
                r#"[{"op":"replace","path":"/spec/containers/0/env/0/value","value":"new"},"#,
                r#"{"op":"add","path":"/spec/containers/0/env/0","value":{"name":"C","value":"c"}},"#,
                r#"{"op":"add","path":"/spec/containers/0/env/0","value":{"name":"B","value":"\"b"}}]"#
            )
        );
        let with_null = r#"{"spec":{"containers":[{"env":null}]}}"#;
        assert!(written(with_null).ends_with(
            r#""path":"/spec/containers/0/env","value":[{"name":"B","value":"\"b"},{"name":"C","value":"c"}]}]"#
        ));
    }

    #[test]
    fn escapes_keys() {
        assert_eq!(
            escaped("azure.workload.identity/use~x"),
            "azure.workload.identity~1use~0x"
        );
    }

    fn written(pod: &str) -> String {
        let pod: Pod<'_> = serde_json::from_str(pod).unwrap();
        let additions = Additions {
            containers: vec![ContainerAdditions {
                at: Place {
                    list: List::Containers,
                    index: 0,
                },
                mounts: Vec::new(),
                variables: vec![EnvVar::text("B", "\"b"), EnvVar::text("C", "c")],
                replacements: vec![Replacement {
                    variable: "A",
                    index: 0,
                    value: "new",
                }],
            }],
            ..Additions::default()
        };
        String::from_utf8(write(&pod, &additions).unwrap().unwrap()).unwrap()
    }
}
