//! Annotation `skip-containers`: the containers that get nothing.

use std::collections::HashSet;

use contract::annotation::SKIP_CONTAINERS;
use contract::container;

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

    /// Warns about the proxy's name, and about names that no container has, in alphabetical order.
    /// `injects` says whether the pod gets the proxy.
    pub(crate) fn warn(&self, injects: bool, warnings: &mut Warnings) {
        let ours = [container::PROXY, container::PROXY_INIT];
        let is_ours = |name: &str| injects && ours.contains(&name);
        let names_proxy =
            self.contains(container::PROXY) || (injects && self.missing.contains(container::PROXY));
        if names_proxy {
            warnings.push(|| {
                let name = container::PROXY;
                format!("pod has annotation {SKIP_CONTAINERS}: {name} is never skipped, it needs the token")
            });
        }
        let missing = self.missing.iter().filter(|name| !is_ours(name));
        let mut missing: Vec<_> = missing.collect();
        missing.sort_unstable();
        for name in missing {
            warnings.push(|| {
                let name = Shown::new(name);
                format!("pod has annotation {SKIP_CONTAINERS}: there is no container {name}")
            });
        }
    }
}
