//! Label selectors, as the API server evaluates them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A label selector. An empty one selects everything.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels with these values.
    pub match_labels: BTreeMap<String, String>,
    /// Requirements besides them.
    pub match_expressions: Vec<Requirement>,
}

/// One of `matchExpressions`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values of `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.failing(labels).is_none()
    }

    /// The first requirement that these labels do not meet.
    #[must_use]
    pub fn failing(&self, labels: &BTreeMap<String, String>) -> Option<Requirement> {
        let equal = self.match_labels.iter().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: "In".to_owned(),
            values: vec![value.clone()],
        });
        let mut all = equal.chain(self.match_expressions.iter().cloned());
        all.find(|it| !it.is_met(labels))
    }

    /// Whether the selector names this label.
    #[must_use]
    pub fn names(&self, label: &str) -> bool {
        self.match_labels.contains_key(label)
            || self.match_expressions.iter().any(|it| it.key == label)
    }
}

impl Requirement {
    fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // The API server knows no other operator.
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(selector: serde_json::Value, labels: serde_json::Value) -> bool {
        let selector: Selector = serde_json::from_value(selector).unwrap();
        selector.matches(&serde_json::from_value(labels).unwrap())
    }

    #[test]
    fn evaluates_every_operator_as_the_api_server_does() {
        let expression = |operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": "a", "operator": operator, "values": values }] });
        for (selector, labels, expected) in [
            (json!({}), json!({}), true),
            (
                json!({ "matchLabels": { "a": "b" } }),
                json!({ "a": "b" }),
                true,
            ),
            (
                json!({ "matchLabels": { "a": "b" } }),
                json!({ "a": "c" }),
                false,
            ),
            (expression("In", &["b", "c"]), json!({ "a": "c" }), true),
            (expression("In", &["b"]), json!({}), false),
            (expression("NotIn", &["b"]), json!({}), true),
            (expression("NotIn", &["b"]), json!({ "a": "b" }), false),
            (expression("Exists", &[]), json!({ "a": "" }), true),
            (expression("Exists", &[]), json!({}), false),
            (expression("DoesNotExist", &[]), json!({}), true),
            (expression("DoesNotExist", &[]), json!({ "a": "b" }), false),
        ] {
            assert_eq!(
                selects(selector.clone(), labels.clone()),
                expected,
                "{selector} {labels}"
            );
        }
    }
}
