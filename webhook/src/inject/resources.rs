//! Requests and limits of the injected containers: the cluster's, with the pod's over them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use contract::annotation as key;
use serde::Serialize;

use super::denial::{Denial, Shown};
use super::pod::Pod;

/// A container's `resources`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// By resource, such as `memory`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// By resource, such as `cpu`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
}

/// What a pod says about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides<'a> {
    annotations: [Option<&'a str>; 4],
    /// Whether the pod has resources as a whole, of which its containers take their share: what they
    /// ask for together must not be more, and API servers have filled in the sum of the user's.
    of_whole_pod: bool,
}

const LIMITS: [(&str, &str); 2] = [
    ("cpu", key::PROXY_CPU_LIMIT),
    ("memory", key::PROXY_MEMORY_LIMIT),
];
const REQUESTS: [(&str, &str); 2] = [
    ("cpu", key::PROXY_CPU_REQUEST),
    ("memory", key::PROXY_MEMORY_REQUEST),
];

impl<'a> Overrides<'a> {
    pub(super) fn read(pod: &'a Pod<'a>) -> Result<Self, Denial> {
        let [cpu_limit, memory_limit] = LIMITS.map(|(_, annotation)| value(pod, annotation));
        let [cpu_request, memory_request] = REQUESTS.map(|(_, annotation)| value(pod, annotation));
        Ok(Self {
            annotations: [cpu_limit?, memory_limit?, cpu_request?, memory_request?],
            of_whole_pod: pod.has_resources(),
        })
    }

    /// The container's resources. Where the pod sets one of request and limit, the cluster's other
    /// one is dropped: the API server refuses a request above its limit. Where it has some as a
    /// whole, the cluster's are left out.
    pub(super) fn over<'r>(&self, resources: &'r Resources) -> Cow<'r, Resources> {
        let [cpu_limit, memory_limit, cpu_request, memory_request] = self.annotations;
        if *self == Self::default() {
            return Cow::Borrowed(resources);
        }
        let mut resources = if self.of_whole_pod {
            Resources::default()
        } else {
            resources.clone()
        };
        for (name, limit, request) in [
            ("cpu", cpu_limit, cpu_request),
            ("memory", memory_limit, memory_request),
        ] {
            if let Some(limit) = limit {
                resources.limits.insert(name.to_owned(), limit.to_owned());
                if request.is_none() {
                    resources.requests.remove(name);
                }
            }
            if let Some(request) = request {
                resources
                    .requests
                    .insert(name.to_owned(), request.to_owned());
                if limit.is_none() {
                    resources.limits.remove(name);
                }
            }
        }
        Cow::Owned(resources)
    }
}

fn value<'a>(pod: &'a Pod<'a>, annotation: &'static str) -> Result<Option<&'a str>, Denial> {
    let Some(value) = pod.annotation(annotation).map(str::trim) else {
        return Ok(None);
    };
    if is_quantity(value) {
        Ok(Some(value))
    } else {
        Err(Denial::Quantity {
            annotation,
            value: Shown::new(value),
        })
    }
}

/// Whether the text is a quantity of Kubernetes: `10m`, `64Mi`, `0.5`, `1e3`.
pub fn is_quantity(text: &str) -> bool {
    const SUFFIXES: &[&str] = &[
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let end = text
        .find(|it: char| !it.is_ascii_digit() && it != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let exponent = suffix.strip_prefix(['e', 'E']).filter(|it| !it.is_empty());
    let is_suffix = SUFFIXES.contains(&suffix)
        || exponent.is_some_and(|exponent| exponent.parse::<i8>().is_ok());
    number.contains(|it: char| it.is_ascii_digit()) && number.parse::<f64>().is_ok() && is_suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for text in ["0", "10m", "64Mi", "0.5", ".5", "1e3", "1E-3", "2E", "12k"] {
            assert!(is_quantity(text), "{text:?}");
        }
        for text in [
            "", "m", ".", "1.2.3", "10 m", "-1", "64MB", "ten", "1e", "NaN",
        ] {
            assert!(!is_quantity(text), "{text:?}");
        }
    }
}
