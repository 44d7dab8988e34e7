//! `--proxy-resources` and `--proxy-init-resources`.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::inject::{Resources, is_quantity};

/// Reads a container's `resources` in JSON.
///
/// # Errors
///
/// When they are no such object, or a value is no quantity.
pub(super) fn parse(text: &str) -> Result<Resources, ResourcesError> {
    let mut lists: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(text)?;
    let resources = Resources {
        limits: lists.remove("limits").unwrap_or_default(),
        requests: lists.remove("requests").unwrap_or_default(),
    };
    if let Some((kind, _)) = lists.pop_first() {
        return Err(ResourcesError::Kind(kind));
    }
    for (name, quantity) in resources.requests.iter().chain(&resources.limits) {
        if !is_quantity(quantity) {
            return Err(ResourcesError::Quantity(name.clone(), quantity.clone()));
        }
    }
    Ok(resources)
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
        for text in [
            "",
            "[]",
            r#"{"request": {}}"#,
            r#"{"limits": {"cpu": "much"}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
