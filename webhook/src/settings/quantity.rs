//! Resource requests and limits.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use thiserror::Error;

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

/// Checks a container's `resources` and returns them as they will be written into pods.
///
/// # Errors
///
/// When they are no such object, or a value is no quantity.
pub(super) fn resources(text: &str) -> Result<Box<RawValue>, ResourcesError> {
    let resources: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(text)?;
    for (kind, quantities) in &resources {
        if !["limits", "requests"].contains(&kind.as_str()) {
            return Err(ResourcesError::Kind(kind.clone()));
        }
        for (name, quantity) in quantities {
            if !is_quantity(quantity) {
                return Err(ResourcesError::Quantity(name.clone(), quantity.clone()));
            }
        }
    }
    Ok(serde_json::value::to_raw_value(&resources)?)
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

    #[test]
    fn resources_are_checked() {
        assert_eq!(
            resources(r#"{"requests": {"cpu": "1"}}"#).unwrap().get(),
            r#"{"requests":{"cpu":"1"}}"#
        );
        for text in [
            "",
            "[]",
            r#"{"request": {}}"#,
            r#"{"limits": {"cpu": "much"}}"#,
        ] {
            assert!(resources(text).is_err(), "{text}");
        }
    }
}
