//! `--proxy-resources` and `--proxy-init-resources`.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

use crate::inject::{Resources, is_quantity};

/// A container's `resources` in JSON.
impl FromStr for Resources {
    type Err = ResourcesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut lists: BTreeMap<String, Option<Quantities>> = serde_json::from_str(text)?;
        let mut list = |kind| quantities(lists.remove(kind).flatten().unwrap_or_default());
        let resources = Self {
            limits: list("limits")?,
            requests: list("requests")?,
        };
        match lists.pop_first() {
            Some((kind, _)) => Err(ResourcesError::Kind(kind)),
            None => Ok(resources),
        }
    }
}

type Quantities = BTreeMap<String, Value>;

/// As Kubernetes reads them: a number may have no quotes, and null counts as absent.
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

/// The text is not a container's resources.
#[derive(Debug, Error)]
pub enum ResourcesError {
    /// The text is not JSON of this form.
    #[error("it must be JSON of the form {{\"requests\": {{…}}, \"limits\": {{…}}}}: {0}")]
    Json(#[from] serde_json::Error),
    /// A list that is neither `requests` nor `limits`.
    #[error("{0:?} is neither requests nor limits")]
    Kind(String),
    /// A value that is not a quantity.
    #[error("{0} is {1:?}: it must be a quantity such as \"50m\" or \"64Mi\"")]
    Quantity(String, String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_quantities_and_nothing_else() {
        let resources = r#"{"requests": {"cpu": "1"}}"#.parse::<Resources>().unwrap();
        assert_eq!(resources.requests["cpu"], "1");
        assert!(resources.limits.is_empty());
        let text = r#"{"limits": null, "requests": {"cpu": 0.5, "memory": null, "x": 2}}"#;
        let resources = text.parse::<Resources>().unwrap();
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
            assert!(text.parse::<Resources>().is_err(), "{text}");
        }
    }
}
