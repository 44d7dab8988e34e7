//! Annotations `proxy-cpu-*` and `proxy-memory-*`: the pod's requests and limits for the injected
//! containers, which win over the operator's.

use std::borrow::Cow;

use contract::annotation as key;

use crate::inject::feedback::denial::{Denial, Shown};
use crate::inject::input::pod::Pod;
use crate::inject::policy::resources::{Resources, is_quantity};

/// The pod's requests and limits for the injected containers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides<'a> {
    cpu: Override<'a>,
    memory: Override<'a>,
    /// The pod has requests or limits as a whole (KEP-2837). The API server refuses containers that
    /// request more than the pod, and a pod's own values do not count the injected containers.
    is_bounded_by_pod: bool,
}

/// The override of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Override<'a> {
    limit: Option<&'a str>,
    request: Option<&'a str>,
}

impl<'a> Overrides<'a> {
    /// Reads the pod's annotations.
    ///
    /// # Errors
    ///
    /// [`Denial::Quantity`] for a value that is not a quantity.
    pub(crate) fn read(pod: &'a Pod<'a>) -> Result<Self, Denial> {
        let cpu_limit = quantity(pod, key::PROXY_CPU_LIMIT)?;
        let memory_limit = quantity(pod, key::PROXY_MEMORY_LIMIT)?;
        let cpu_request = quantity(pod, key::PROXY_CPU_REQUEST)?;
        let memory_request = quantity(pod, key::PROXY_MEMORY_REQUEST)?;
        Ok(Self {
            cpu: Override {
                limit: cpu_limit,
                request: cpu_request,
            },
            memory: Override {
                limit: memory_limit,
                request: memory_request,
            },
            is_bounded_by_pod: pod.has_resources(),
        })
    }

    /// A container's resources. If the pod sets only the request or only the limit, the operator's
    /// other value is dropped, because the API server refuses a request above its limit. In a pod
    /// with resources of its own, the operator's are left out.
    pub(crate) fn over<'r>(&self, resources: &'r Resources) -> Cow<'r, Resources> {
        if *self == Self::default() {
            return Cow::Borrowed(resources);
        }
        let mut resources = if self.is_bounded_by_pod {
            Resources::default()
        } else {
            resources.clone()
        };
        for (name, Override { limit, request }) in [("cpu", self.cpu), ("memory", self.memory)] {
            if limit.is_none() && request.is_none() {
                continue;
            }
            for (list, value) in [
                (&mut resources.limits, limit),
                (&mut resources.requests, request),
            ] {
                match value {
                    Some(value) => list.insert(name.to_owned(), value.to_owned()),
                    None => list.remove(name),
                };
            }
        }
        Cow::Owned(resources)
    }
}

fn quantity<'a>(pod: &'a Pod<'a>, annotation: &'static str) -> Result<Option<&'a str>, Denial> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrows_the_operators_resources_without_an_override() {
        let resources = operators();
        assert!(matches!(
            Overrides::default().over(&resources),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn drops_the_operators_request_beside_a_limit_of_the_pod() {
        let overrides = Overrides {
            memory: Override {
                limit: Some("8Mi"),
                request: None,
            },
            ..Overrides::default()
        };
        let expected = Resources {
            limits: [("memory".to_owned(), "8Mi".to_owned())].into(),
            requests: [("cpu".to_owned(), "5m".to_owned())].into(),
        };
        assert_eq!(*overrides.over(&operators()), expected);
    }

    #[test]
    fn leaves_out_the_operators_resources_in_a_pod_with_its_own() {
        let overrides = Overrides {
            cpu: Override {
                limit: None,
                request: Some("1m"),
            },
            is_bounded_by_pod: true,
            ..Overrides::default()
        };
        let expected = Resources {
            requests: [("cpu".to_owned(), "1m".to_owned())].into(),
            ..Resources::default()
        };
        assert_eq!(*overrides.over(&operators()), expected);
    }

    fn operators() -> Resources {
        Resources {
            requests: [("cpu", "5m"), ("memory", "16Mi")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Resources::default()
        }
    }
}
