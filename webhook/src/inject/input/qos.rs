//! The resources of a container, as far as the pod's class of service depends on them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::inject::policy::resources::value_of;

/// `resources` of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerResources<'a> {
    #[serde(borrow)]
    limits: Option<Quantities<'a>>,
    #[serde(borrow)]
    requests: Option<Quantities<'a>>,
}

/// The resources that the class depends on. Numbers may have no quotes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Quantities<'a> {
    #[serde(borrow)]
    cpu: Option<&'a RawValue>,
    #[serde(borrow)]
    memory: Option<&'a RawValue>,
}

impl ContainerResources<'_> {
    /// Whether CPU and memory have limits, and requests that are equal or left out: the API server sets
    /// those to the limit.
    pub(crate) fn are_guaranteed(&self) -> bool {
        let Some(limits) = &self.limits else {
            return false;
        };
        let requests = self.requests.as_ref();
        let pairs = [
            (limits.cpu, requests.and_then(|it| it.cpu)),
            (limits.memory, requests.and_then(|it| it.memory)),
        ];
        pairs.into_iter().all(|(limit, request)| {
            let limit = limit.and_then(value);
            // A limit of zero is none.
            limit.is_some_and(|it| it > 0.0) && request.is_none_or(|it| value(it) == limit)
        })
    }
}

fn value(quantity: &RawValue) -> Option<f64> {
    value_of(quantity.get().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn finds_out_the_class_as_kubernetes_does() {
        let both = |cpu: Value| json!({ "cpu": cpu, "memory": "1Gi" });
        let cpu_alone = json!({ "cpu": 1 });
        for (resources, expected) in [
            (json!({ "limits": both("100m".into()) }), true),
            (
                json!({ "limits": both("100m".into()), "requests": both("0.1".into()) }),
                true,
            ),
            (
                json!({ "limits": both(1.into()), "requests": cpu_alone }),
                true,
            ),
            (
                json!({ "limits": both(1.into()), "requests": both(2.into()) }),
                false,
            ),
            (json!({ "limits": both(0.into()) }), false),
            (json!({ "limits": cpu_alone, "requests": cpu_alone }), false),
            (json!({ "limits": both("much".into()) }), false),
            (json!({ "limits": null, "requests": both(1.into()) }), false),
            (json!({}), false),
        ] {
            let text = resources.to_string();
            let read: ContainerResources<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.are_guaranteed(), expected, "{text}");
        }
    }
}
