//! What was injected is remembered in an annotation, so that it can follow the service account when
//! another webhook changes that afterwards (azwi#1475).

use contract::variable::CLIENT_ID;
use serde::{Deserialize, Serialize};

use super::environment::Identity;
use super::patch::Patch;
use super::pod::{Container, Pod};

pub(super) use contract::annotation::INJECTED as ANNOTATION;

/// The annotation's value.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Marker {
    client_id: String,
    tenant_id: String,
    /// `container/VARIABLE` whose value was the user's already, although it is the injected one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<String>,
}

/// A longer one is not of our making.
const MAX_LENGTH: usize = 64 * 1024;

/// What an earlier run left on the pod.
#[derive(Debug)]
pub(super) struct Before(Option<Marker>);

impl Marker {
    /// Reads the pod's annotation. One that is damaged says nothing.
    pub(super) fn of(pod: &Pod<'_>) -> Before {
        let text = pod.annotation(ANNOTATION);
        let text = text.filter(|text| text.len() <= MAX_LENGTH);
        Before(text.and_then(|text| serde_json::from_str(text).ok()))
    }
}

impl Before {
    /// Replaces values that were injected for another service account. Returns whether that took the
    /// client id away.
    pub(super) fn replace_outdated(
        &self,
        existing: &Container<'_>,
        place: &str,
        identity: &Identity<'_>,
        patch: &mut Patch,
    ) -> bool {
        let mut is_emptied = false;
        let Some(before) = &self.0 else { return false };
        let injected = [&before.client_id, &before.tenant_id];
        for ((name, value), injected) in identity.of_account().into_iter().zip(injected) {
            let Some((index, current)) = existing.variable(name) else {
                continue;
            };
            let is_ours = !injected.is_empty()
                && current == injected
                && !before.kept.contains(&full_name(existing, name));
            if is_ours && current != value {
                patch.replace(&[place, "/env/", &index.to_string(), "/value"], &value);
                is_emptied |= name == CLIENT_ID && value.is_empty();
            }
        }
        is_emptied
    }

    /// The annotation to write, if it is not there already.
    pub(super) fn update(
        self,
        identity: &Identity<'_>,
        kept: Vec<String>,
    ) -> Vec<(&'static str, String)> {
        let marker = Marker {
            client_id: identity.client_id.to_owned(),
            tenant_id: identity.tenant_id.to_owned(),
            kept: self.0.as_ref().map_or(kept, |before| before.kept.clone()),
        };
        if self.0.as_ref() == Some(&marker) {
            return Vec::new();
        }
        let text = serde_json::to_string(&marker);
        text.into_iter().map(|text| (ANNOTATION, text)).collect()
    }
}

/// The variables that the container has from the user with the very value that we would inject.
pub(super) fn kept(existing: &Container<'_>, identity: &Identity<'_>) -> Vec<String> {
    let same = identity.of_account().into_iter().filter(|(name, value)| {
        !value.is_empty()
            && existing
                .variable(name)
                .is_some_and(|(_, current)| current == *value)
    });
    same.map(|(name, _)| full_name(existing, name)).collect()
}

fn full_name(container: &Container<'_>, variable: &str) -> String {
    format!("{}/{variable}", container.name.as_str())
}
