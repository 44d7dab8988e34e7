//! Annotation `skip-containers`: the containers that get nothing.

use std::collections::HashSet;

use contract::annotation::SKIP_CONTAINERS;

use super::denial::Shown;
use super::pod::Pod;
use super::warnings::Warnings;

/// The containers that the pod's user leaves out.
#[derive(Debug, Default)]
pub(super) struct Skipped<'a> {
    containers: HashSet<&'a str>,
    /// Names of no container, each once.
    missing: HashSet<&'a str>,
}

impl<'a> Skipped<'a> {
    pub(super) fn read(pod: &'a Pod<'a>) -> Self {
        // Of the others it is known by then that something is wrong.
        const MAX_MISSING: usize = 32;
        let mut skipped = Self::default();
        let Some(text) = pod.annotation(SKIP_CONTAINERS) else {
            return skipped;
        };
        let containers: HashSet<_> = pod
            .all_containers()
            .map(|(_, _, container)| container.name.as_str())
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

    pub(super) fn contains(&self, container: &str) -> bool {
        self.containers.contains(container)
    }

    pub(super) fn warn(&self, warnings: &mut Warnings) {
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
