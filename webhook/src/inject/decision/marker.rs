//! The annotation `injected` records the injected identity, so that it can follow the service account
//! when another webhook changes that between two runs (azwi#1475).

use std::borrow::Cow;
use std::collections::HashSet;

use contract::annotation;

use super::identity::Identity;
use crate::inject::input::marker::Marker;
use crate::inject::input::pod::{Container, Pod};
use crate::inject::output::additions::Replacement;
use crate::inject::policy::config::Mode;

/// The marker of an earlier run, if there was one.
#[derive(Debug)]
pub(crate) struct EarlierRun<'a> {
    marker: Option<Marker<'a>>,
    /// Those of the marker, which each container is compared with.
    kept: HashSet<String>,
}

impl<'a> EarlierRun<'a> {
    /// Reads the pod's annotation. A damaged one counts as none.
    pub(crate) fn read(pod: &'a Pod<'_>) -> Self {
        let marker = Marker::read(pod);
        let kept = marker.iter().flat_map(|it| it.kept.iter().cloned());
        Self {
            kept: kept.collect(),
            marker,
        }
    }

    /// New values for variables that were injected for another service account.
    pub(crate) fn outdated<'r>(
        &self,
        existing: &Container<'_>,
        identity: &Identity<'r>,
    ) -> Vec<Replacement<'r>> {
        let mut outdated = Vec::new();
        let Some(before) = &self.marker else {
            return outdated;
        };
        let injected = [&before.client_id, &before.tenant_id];
        for ((variable, value), injected) in identity.of_account().into_iter().zip(injected) {
            let Some((index, current)) = existing.variable(variable) else {
                continue;
            };
            let is_injected = !injected.is_empty()
                && current == injected
                && !self.kept.contains(&full_name(existing, variable));
            if is_injected && current != value {
                outdated.push(Replacement {
                    variable,
                    index,
                    value,
                });
            }
        }
        outdated
    }

    /// The annotation to write, none when the pod has it already. `same_values` are those of a first
    /// run: later runs cannot distinguish the user's values from injected ones, and keep that list.
    pub(crate) fn annotation(
        &self,
        identity: &Identity<'_>,
        same_values: Vec<String>,
        mode_of_namespace: Option<Mode>,
    ) -> Option<(&'static str, String)> {
        let marker = Marker {
            client_id: Cow::Borrowed(identity.client_id),
            tenant_id: Cow::Borrowed(identity.tenant_id),
            kept: match &self.marker {
                Some(before) => Cow::Borrowed(&*before.kept),
                None => Cow::Owned(same_values),
            },
            mode_of_namespace: mode_of_namespace.map(|mode| mode.to_string().into()),
        };
        if self.marker.as_ref() == Some(&marker) {
            return None;
        }
        let text = serde_json::to_string(&marker).ok()?;
        Some((annotation::INJECTED, text))
    }
}

/// The container's variables that the user has set to the value that would be injected, as
/// `container/VARIABLE`.
pub(crate) fn same_values<'r>(
    existing: &'r Container<'_>,
    identity: &Identity<'r>,
) -> impl Iterator<Item = String> {
    let variables = identity.of_account().into_iter();
    variables
        .filter(|(name, value)| {
            let current = existing.variable(name).map(|(_, current)| current);
            !value.is_empty() && current == Some(value)
        })
        .map(|(name, _)| full_name(existing, name))
}

fn full_name(container: &Container<'_>, variable: &str) -> String {
    format!("{}/{variable}", container.name.as_str())
}
