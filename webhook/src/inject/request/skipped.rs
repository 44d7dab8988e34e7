//! Annotation `skip-containers`: the containers that get nothing.

use std::collections::HashSet;

use contract::annotation::SKIP_CONTAINERS;

use crate::inject::feedback::denial::Shown;
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::pod::Pod;

/// The names in the annotation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped<'a> {
    containers: HashSet<&'a str>,
    /// Names of no container in the pod, each once.
    missing: HashSet<&'a str>,
}

impl<'a> Skipped<'a> {
    /// Reads the pod's annotation.
    pub(crate) fn read(pod: &'a Pod<'a>) -> Self {
        // More than the warnings of one answer.
        const MAX_MISSING: usize = 32;
        let mut skipped = Self::default();
        let Some(text) = pod.annotation(SKIP_CONTAINERS) else {
            return skipped;
        };
        let containers: HashSet<_> = pod
            .all_containers()
            .map(|(_, container)| container.name.as_str())
            .collect();
        let names = text.split([';', ',']).map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            if containers.contains(name) {
                skipped.containers.insert(name);
            } else if skipped.missing.len() < MAX_MISSING {
                skipped.missing.insert(name);
            }
        }
        skipped
    }

    pub(crate) fn contains(&self, container: &str) -> bool {
        self.containers.contains(container)
    }

    /// Warns about names that no container has, in alphabetical order.
    pub(crate) fn warn(&self, warnings: &mut Warnings) {
        let mut missing: Vec<_> = self.missing.iter().collect();
        missing.sort_unstable();
        for name in missing {
            warnings.push(|| {
                let name = Shown::new(name);
                format!("pod has annotation {SKIP_CONTAINERS}: there is no container {name}")
            });
        }
    }
}
