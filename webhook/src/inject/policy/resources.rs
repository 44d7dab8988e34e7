//! Requests and limits of the injected containers.

use std::collections::BTreeMap;

use serde::Serialize;

/// A container's `resources`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Quantities by resource, such as `memory`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// Quantities by resource, such as `cpu`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
}

/// Whether the text is a quantity of Kubernetes: `10m`, `64Mi`, `0.5`, `1e3`.
#[must_use]
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
    fn accepts_quantities_of_kubernetes() {
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
