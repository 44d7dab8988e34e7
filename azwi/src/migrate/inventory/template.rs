//! What a migration looks at in a pod template, whose JSON it keeps to write it back.

use std::collections::BTreeMap;

use contract::variable;
use serde_json::Value;

use super::pod_identity::BINDING_LABEL;

/// A pod template's JSON, or a pod's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodTemplate(pub Value);

impl PodTemplate {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.0.get("metadata")?.get("labels")?.get(key)?.as_str()
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let annotations = self.0.get("metadata")?.get("annotations")?;
        annotations.get(key)?.as_str()
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        strings(self.0.pointer("/metadata/labels"))
    }

    /// Whether it has annotations at all.
    #[must_use]
    pub fn has_annotations(&self) -> bool {
        let annotations = self.0.pointer("/metadata/annotations");
        annotations.is_some_and(Value::is_object)
    }

    /// The selector of its AzureIdentityBindings.
    #[must_use]
    pub fn selector(&self) -> Option<&str> {
        self.label(BINDING_LABEL).filter(|it| !it.is_empty())
    }

    /// The service account, `default` when none is named.
    #[must_use]
    pub fn account(&self) -> &str {
        let named = |field| self.spec(field).and_then(Value::as_str);
        [named("serviceAccountName"), named("serviceAccount")]
            .into_iter()
            .flatten()
            .find(|it| !it.is_empty())
            .unwrap_or("default")
    }

    /// A field of the spec.
    #[must_use]
    pub fn spec(&self, field: &str) -> Option<&Value> {
        self.0.get("spec")?.get(field)
    }

    /// Whether the pods use the node's network.
    #[must_use]
    pub fn uses_host_network(&self) -> bool {
        self.spec("hostNetwork").and_then(Value::as_bool) == Some(true)
    }

    /// The containers, init containers first.
    pub fn containers(&self) -> impl Iterator<Item = Container<'_>> {
        let lists = ["initContainers", "containers"];
        let lists = lists.into_iter().filter_map(|it| self.spec(it)?.as_array());
        lists.flatten().map(Container)
    }
}

/// A container's JSON.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a>(&'a Value);

impl<'a> Container<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.0.get("name").and_then(Value::as_str).unwrap_or("")
    }

    /// Its image.
    #[must_use]
    pub fn image(&self) -> &'a str {
        self.0.get("image").and_then(Value::as_str).unwrap_or("")
    }

    /// The value of `AZURE_CLIENT_ID` that it sets itself.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a str> {
        let variables = self.0.get("env")?.as_array()?;
        let mut variables = variables.iter();
        variables
            .find(|it| it.get("name").and_then(Value::as_str) == Some(variable::CLIENT_ID))?
            .get("value")?
            .as_str()
    }

    /// Whether its command, arguments or variables contain one of these texts, in any letter case.
    #[must_use]
    pub fn mentions(&self, texts: &[&str]) -> bool {
        let list = |field| self.0.get(field).and_then(Value::as_array).into_iter();
        let words = list("command")
            .chain(list("args"))
            .flatten()
            .filter_map(Value::as_str);
        let values = list("env").flatten();
        let values = values.filter_map(|it| it.get("value")?.as_str());
        words.chain(values).any(|word| {
            let word = word.to_ascii_lowercase();
            texts.iter().any(|text| word.contains(text))
        })
    }
}

/// The entries of a map of strings.
pub(super) fn strings(map: Option<&Value>) -> BTreeMap<String, String> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
