//! A label selector as an object, or in kubectl's short form.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// Selects objects by their labels. Without requirements it selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with one value each.
    #[serde(
        deserialize_with = "null_as_none",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub match_labels: BTreeMap<String, String>,
    /// Other requirements.
    #[serde(
        deserialize_with = "null_as_none",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub match_expressions: Vec<Requirement>,
}

/// A requirement about one label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The label's name.
    pub key: String,
    /// How the label's value relates to `values`.
    pub operator: Operator,
    /// Empty for [`Operator::Exists`] and [`Operator::DoesNotExist`], and for them alone.
    #[serde(
        default,
        deserialize_with = "null_as_none",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub values: Vec<String>,
}

/// The operators of a label selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is missing.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
}

/// Reads null as an empty list or map, as Go's JSON does.
fn null_as_none<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The text is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelSelectorError {
    /// It begins like an object.
    #[error("{0}. Write it as {{\"matchLabels\":{{\"key\":\"value\"}}}}")]
    Object(String),
    /// `In` and `NotIn` need values, the others have none.
    #[error(
        "the requirement for {0} needs values with In and NotIn, and none with Exists and DoesNotExist"
    )]
    Values(String),
    /// It is no list of pairs.
    #[error("write it as key=value,key=value or as a JSON object")]
    Pairs,
}

impl FromStr for LabelSelector {
    type Err = LabelSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.trim_start().starts_with('{') {
            let match_labels = pairs(text).ok_or(LabelSelectorError::Pairs)?;
            return Ok(Self {
                match_labels,
                ..Self::default()
            });
        }
        let selector: Self = serde_json::from_str(text)
            .map_err(|error| LabelSelectorError::Object(error.to_string()))?;
        let wrong = selector.match_expressions.iter().find(|requirement| {
            let needs_values = matches!(requirement.operator, Operator::In | Operator::NotIn);
            needs_values == requirement.values.is_empty()
        });
        match wrong {
            Some(requirement) => Err(LabelSelectorError::Values(requirement.key.clone())),
            None => Ok(selector),
        }
    }
}

/// Equality only, as `key=value` or `key==value`.
fn pairs(text: &str) -> Option<BTreeMap<String, String>> {
    let pairs = text.split(',').map(|term| {
        let (name, value) = term.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        let is_equality = !name.trim_end().ends_with('!') && !name.trim().is_empty();
        is_equality.then(|| (name.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pairs() {
        let labels = |text: &str| {
            let selector: LabelSelector = text.parse().unwrap();
            assert_eq!(selector.match_expressions, []);
            selector.match_labels.into_iter().collect::<Vec<_>>()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(labels("a=b, c==d"), [pair("a", "b"), pair("c", "d")]);
        for text in ["a", "a!=b", "a in (b,c)", ""] {
            let error = text.parse::<LabelSelector>().unwrap_err();
            assert_eq!(error, LabelSelectorError::Pairs, "{text}");
        }
    }

    #[test]
    fn reads_an_object_and_writes_it_as_it_was() {
        for text in [
            "{}",
            r#"{"matchLabels":{"a":"b"}}"#,
            r#"{"matchExpressions":[{"key":"a","operator":"In","values":["b","c"]},{"key":"d","operator":"Exists"}]}"#,
        ] {
            let selector: LabelSelector = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&selector).unwrap(), text);
        }
    }

    /// As Go's JSON, with which upstream reads it.
    #[test]
    fn null_counts_as_absent() {
        for (text, expected) in [
            (r#"{"matchLabels":null,"matchExpressions":null}"#, "{}"),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"Exists","values":null}]}"#,
                r#"{"matchExpressions":[{"key":"a","operator":"Exists"}]}"#,
            ),
        ] {
            let selector: LabelSelector = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&selector).unwrap(), expected);
        }
    }

    #[test]
    fn refuses_objects_that_kubernetes_would_refuse() {
        for (text, reason) in [
            (r#"{"matchLabel":{"a":"b"}}"#, "unknown field `matchLabel`"),
            (r#"{"matchLabels":{"a":1}}"#, "expected a string"),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"Like"}]}"#,
                "unknown variant `Like`",
            ),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"In"}]}"#,
                "the requirement for a needs values",
            ),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]}"#,
                "the requirement for a needs values",
            ),
            ("{", "EOF"),
        ] {
            let error = text.parse::<LabelSelector>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
