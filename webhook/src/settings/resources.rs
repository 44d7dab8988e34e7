//! `--proxy-resources` and `--proxy-init-resources`.

use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;

use crate::inject::{Resources, is_quantity};

/// Reads a container's `resources` in JSON.
///
/// # Errors
///
/// When they are no such object, or a value is no quantity.
pub(super) fn parse(text: &str) -> Result<Resources, ResourcesError> {
    let mut lists: BTreeMap<String, Option<Quantities>> = serde_json::from_str(text)?;
    let mut list = |kind| quantities(lists.remove(kind).flatten().unwrap_or_default());
    let resources = Resources {
        limits: list("limits")?,
        requests: list("requests")?,
    };
    match lists.pop_first() {
        Some((kind, _)) => Err(ResourcesError::Kind(kind)),
        None => Ok(resources),
    }
}

type Quantities = BTreeMap<String, Value>;

/// As Kubernetes reads them: a number may stand without quotes, and null is nothing.
fn quantities(list: Quantities) -> Result<BTreeMap<String, String>, ResourcesError> {
    let mut quantities = BTreeMap::new();
    for (name, value) in list {
        let quantity = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        if !is_quantity(&quantity) {
            return Err(ResourcesError::Quantity(name, quantity));
        }
        quantities.insert(name, quantity);
    }
    Ok(quantities)
}

/// Why resources cannot be used.
#[derive(Debug, Error)]
pub(super) enum ResourcesError {
    #[error("it must be JSON of the form {{\"requests\": {{…}}, \"limits\": {{…}}}}: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0:?} is neither requests nor limits")]
    Kind(String),
    #[error("{0} is {1:?}: it must be a quantity such as \"50m\" or \"64Mi\"")]
    Quantity(String, String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_checked() {
        let resources = parse(r#"{"requests": {"cpu": "1"}}"#).unwrap();
        assert_eq!(resources.requests["cpu"], "1");
        assert!(resources.limits.is_empty());
        let text = r#"{"limits": null, "requests": {"cpu": 0.5, "memory": null, "x": 2}}"#;
        let resources = parse(text).unwrap();
        assert_eq!(resources.requests["cpu"], "0.5");
        assert_eq!(resources.requests["x"], "2");
        assert_eq!(resources.requests.len(), 2);
        for text in [
            "",
            "[]",
            r#"{"request": {}}"#,
            r#"{"limits": {"cpu": "much"}}"#,
            r#"{"limits": {"cpu": true}}"#,
            r#"{"limits": {"cpu": [1]}}"#,
            r#"{"limits": {"cpu": -1}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
