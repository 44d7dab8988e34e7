//! The lines of objects and their fields in files.

use std::collections::BTreeMap;

use contract::annotation::PREFIX;
use contract::label;

use super::yaml::{Content, Node};
use crate::facts::object::Object;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, `-` for standard input.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// The place of each object.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<Object, ObjectPlace>);

#[derive(Debug)]
struct ObjectPlace {
    file: String,
    line: usize,
    /// The product's labels and annotations, at any depth: line and depth of each.
    keys: BTreeMap<String, (usize, usize)>,
    /// Where the label belongs.
    labels: Option<usize>,
}

impl Places {
    /// Remembers the object of a node. The first of two is kept.
    pub(super) fn add(&mut self, object: Object, file: &str, node: &Node) {
        let mut keys = BTreeMap::new();
        collect(node, 0, &mut keys);
        self.0.entry(object).or_insert_with(|| ObjectPlace {
            file: file.to_owned(),
            line: node.line,
            keys,
            labels: labels(node),
        });
    }

    /// The field of the object that `cause` names, or the object itself.
    pub(super) fn find(&self, object: &Object, cause: &str) -> Option<Place> {
        let place = self.0.get(object)?;
        let named = place.keys.iter().filter(|(key, _)| cause.contains(*key));
        let named = named.max_by_key(|(key, _)| key.len());
        let named = named.map(|(_, (line, _))| *line);
        let line = named.or_else(|| place.labels.filter(|_| cause.contains(label::USE)));
        Some(Place {
            file: place.file.clone(),
            line: line.unwrap_or(place.line),
        })
    }
}

/// If a key occurs twice, the deeper one is the template's, which counts.
fn collect(node: &Node, depth: usize, keys: &mut BTreeMap<String, (usize, usize)>) {
    if let Content::List(items) = &node.content {
        items.iter().for_each(|it| collect(it, depth + 1, keys));
    }
    for entry in node.entries() {
        if entry.key.starts_with(PREFIX) {
            let known = keys.entry(entry.key.clone()).or_insert((entry.line, depth));
            if depth > known.1 {
                *known = (entry.line, depth);
            }
        }
        collect(&entry.node, depth + 1, keys);
    }
}

/// The `labels` of the pod template, or what is there of its place.
fn labels(node: &Node) -> Option<usize> {
    let spec = node.get("spec")?;
    let of_job = spec.get("jobTemplate").and_then(|it| it.get("spec"));
    let template = of_job.unwrap_or(spec).entry("template")?;
    let metadata = template.node.entry("metadata");
    let labels = metadata.and_then(|it| it.node.entry("labels"));
    let nearest = labels.or(metadata).unwrap_or(template);
    Some(nearest.line)
}
