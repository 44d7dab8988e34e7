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
    value_of(text).is_some()
}

/// The value of a quantity, to compare it with another one.
pub(crate) fn value_of(quantity: &str) -> Option<f64> {
    let end = quantity
        .find(|it: char| !it.is_ascii_digit() && it != '.')
        .unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(end);
    let number: f64 = number.parse().ok()?;
    let exponent = suffix.strip_prefix(['e', 'E']).filter(|it| !it.is_empty());
    if let Some(exponent) = exponent {
        return Some(number * 10_f64.powi(exponent.parse::<i8>().ok()?.into()));
    }
    Some(match suffix {
        // Divided: that rounds once, so that 100m is equal to 0.1.
        "n" => number / 1e9,
        "u" => number / 1e6,
        "m" => number / 1e3,
        "" => number,
        "k" => number * 1e3,
        "M" => number * 1e6,
        "G" => number * 1e9,
        "T" => number * 1e12,
        "P" => number * 1e15,
        "E" => number * 1e18,
        "Ki" => number * 1024_f64,
        "Mi" => number * 1024_f64.powi(2),
        "Gi" => number * 1024_f64.powi(3),
        "Ti" => number * 1024_f64.powi(4),
        "Pi" => number * 1024_f64.powi(5),
        "Ei" => number * 1024_f64.powi(6),
        _ => return None,
    })
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

    #[test]
    fn compares_quantities_by_their_value() {
        for (a, b) in [
            ("100m", "0.1"),
            ("1Gi", "1073741824"),
            ("1k", "1e3"),
            ("2E", "2e18"),
        ] {
            assert_eq!(value_of(a), value_of(b), "{a} {b}");
        }
        assert!(value_of("64Mi") > value_of("64M"));
    }
}
