//! Requests and limits of the injected containers in one pod: its annotations `proxy-cpu-*`,
//! `proxy-memory-*` and `proxy-ephemeral-storage-*`, then the operator's, made equal in a pod of class
//! Guaranteed.

use std::borrow::Cow;

use contract::annotation as key;

use crate::inject::feedback::denial::{Denial, Shown};
use crate::inject::input::pod::Pod;
use crate::inject::policy::resources::{Resources, is_quantity, value_of};

/// The pod's requests and limits for the injected containers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides<'a> {
    cpu: Override<'a>,
    memory: Override<'a>,
    ephemeral_storage: Override<'a>,
    /// The pod has requests or limits as a whole (KEP-2837). The API server refuses containers that
    /// request more than the pod, and a pod's own values do not count the injected containers.
    is_bounded_by_pod: bool,
    /// The pod keeps its class only if the injected containers have equal requests and limits.
    is_guaranteed: bool,
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
        Ok(Self {
            cpu: Override::read(pod, key::PROXY_CPU_LIMIT, key::PROXY_CPU_REQUEST)?,
            memory: Override::read(pod, key::PROXY_MEMORY_LIMIT, key::PROXY_MEMORY_REQUEST)?,
            ephemeral_storage: Override::read(
                pod,
                key::PROXY_EPHEMERAL_STORAGE_LIMIT,
                key::PROXY_EPHEMERAL_STORAGE_REQUEST,
            )?,
            is_bounded_by_pod: pod.has_resources(),
            is_guaranteed: pod.is_guaranteed(),
        })
    }

    /// A container's resources. If the pod sets only the request or only the limit, the operator's
    /// other value is dropped, because the API server refuses a request above its limit. In a pod
    /// with resources of its own, the operator's are left out, but for storage: a pod has none of it.
    pub(crate) fn over<'r>(&self, resources: &'r Resources) -> Cow<'r, Resources> {
        if *self == Self::default() {
            return Cow::Borrowed(resources);
        }
        let mut resources = resources.clone();
        if self.is_bounded_by_pod {
            for list in [&mut resources.limits, &mut resources.requests] {
                list.retain(|name, _| name == STORAGE);
            }
        }
        for (name, of_pod) in [
            (CPU, self.cpu),
            (MEMORY, self.memory),
            (STORAGE, self.ephemeral_storage),
        ] {
            of_pod.apply(name, &mut resources);
        }
        if self.is_guaranteed {
            equalize(CPU, self.cpu, GUARANTEED_CPU, &mut resources);
            equalize(MEMORY, self.memory, GUARANTEED_MEMORY, &mut resources);
        }
        Cow::Owned(resources)
    }
}

impl<'a> Override<'a> {
    fn read(pod: &'a Pod<'a>, limit: &'static str, request: &'static str) -> Result<Self, Denial> {
        Ok(Self {
            limit: quantity(pod, limit)?,
            request: quantity(pod, request)?,
        })
    }

    fn apply(self, name: &str, resources: &mut Resources) {
        if self == Self::default() {
            return;
        }
        for (list, value) in [
            (&mut resources.limits, self.limit),
            (&mut resources.requests, self.request),
        ] {
            match value {
                Some(value) => list.insert(name.to_owned(), value.to_owned()),
                None => list.remove(name),
            };
        }
    }
}

/// Makes request and limit equal. The pod's annotations win, even where they differ, then the limit. Without
/// one it is the operator's request, but at least `least`: a limit takes effect, where a request only
/// reserves.
fn equalize(name: &str, of_pod: Override<'_>, least: &str, resources: &mut Resources) {
    let Resources { limits, requests } = resources;
    let value = match (of_pod.limit, of_pod.request) {
        (Some(_), Some(_)) => return,
        (Some(value), None) | (None, Some(value)) => value.to_owned(),
        (None, None) => match (limits.get(name), requests.get(name)) {
            // Kubernetes takes a limit of zero for none.
            (Some(limit), _) if value_of(limit) > Some(0.0) => limit.clone(),
            (_, Some(request)) if value_of(request) > value_of(least) => request.clone(),
            _ => least.to_owned(),
        },
    };
    limits.insert(name.to_owned(), value.clone());
    requests.insert(name.to_owned(), value);
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

const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const STORAGE: &str = "ephemeral-storage";

/// 5 ms of CPU time in each 100 ms. A start and a TLS handshake take some 20 ms of it.
const GUARANTEED_CPU: &str = "50m";
/// The default limit.
const GUARANTEED_MEMORY: &str = "64Mi";

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

    #[test]
    fn gives_equal_requests_and_limits_in_a_guaranteed_pod() {
        let equal = |cpu: &str, memory: &str| {
            let list =
                || [("cpu", cpu), ("memory", memory)].map(|(a, b)| (a.to_owned(), b.to_owned()));
            Resources {
                limits: list().into(),
                requests: list().into(),
            }
        };
        let guaranteed = |cpu| Overrides {
            cpu,
            is_guaranteed: true,
            ..Overrides::default()
        };
        let of = |limit, request| Override { limit, request };
        let mut larger = operators();
        larger.requests.insert("cpu".to_owned(), "0.2".to_owned());
        larger.limits.insert("memory".to_owned(), "32Mi".to_owned());
        // Kubernetes takes a limit of zero for none.
        let mut unlimited = operators();
        unlimited.limits.insert("cpu".to_owned(), "0".to_owned());
        for (cpu, operators, expected) in [
            (of(None, None), operators(), equal("50m", "64Mi")),
            (of(None, None), larger, equal("0.2", "32Mi")),
            (of(None, None), unlimited, equal("50m", "64Mi")),
            (of(Some("7m"), None), operators(), equal("7m", "64Mi")),
            (of(None, Some("7m")), operators(), equal("7m", "64Mi")),
        ] {
            assert_eq!(*guaranteed(cpu).over(&operators), expected);
        }
        // Both are the user's.
        let resources = guaranteed(of(Some("8m"), Some("7m")))
            .over(&operators())
            .into_owned();
        assert_eq!(
            (&*resources.limits["cpu"], &*resources.requests["cpu"]),
            ("8m", "7m")
        );
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
