//! A change of a pod template, and its way back. Both are merge patches: of maps and strings alone, so that
//! strategic merge patches, those of kustomize and those of `kubectl patch --type merge` are the same.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::inventory::template::PodTemplate;
use super::inventory::workload::Form;

/// What a pod template gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Labels with their values.
    pub labels: BTreeMap<String, String>,
    /// Annotations with their values.
    pub annotations: BTreeMap<String, String>,
    /// The service account.
    pub service_account: Option<String>,
}

impl Change {
    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Leaves out what the template has already.
    #[must_use]
    pub fn without_present(mut self, template: &PodTemplate) -> Self {
        self.labels
            .retain(|key, value| template.label(key) != Some(value));
        self.annotations
            .retain(|key, value| template.annotation(key) != Some(value));
        self.service_account = self.service_account.filter(|it| it != template.account());
        self
    }

    /// The patch of an object.
    #[must_use]
    pub fn forward(&self, form: Form) -> Value {
        let mut template = Map::new();
        let mut metadata = Map::new();
        for (field, values) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !values.is_empty() {
                metadata.insert(field.to_owned(), json!(values));
            }
        }
        if !metadata.is_empty() {
            template.insert("metadata".to_owned(), Value::Object(metadata));
        }
        if let Some(account) = &self.service_account {
            let spec = json!({ "serviceAccountName": account });
            template.insert("spec".to_owned(), spec);
        }
        at(form.path(), Value::Object(template))
    }

    /// The patch that undoes [`Change::forward`], of a template as it is now.
    #[must_use]
    pub fn back(&self, form: Form, template: &PodTemplate) -> Value {
        let mut metadata = Map::new();
        let labels = self.labels.keys();
        let labels = labels.map(|key| (key.clone(), json!(template.label(key))));
        if !self.labels.is_empty() {
            metadata.insert("labels".to_owned(), labels.collect());
        }
        let annotations = self.annotations.keys();
        let annotations = annotations.map(|key| (key.clone(), json!(template.annotation(key))));
        if !self.annotations.is_empty() {
            // The API server removes an empty map of its own kinds, but not of custom ones.
            let is_kept = form != Form::Custom || template.has_annotations();
            let annotations = if is_kept {
                annotations.collect()
            } else {
                Value::Null
            };
            metadata.insert("annotations".to_owned(), annotations);
        }
        let mut restored = Map::new();
        if !metadata.is_empty() {
            restored.insert("metadata".to_owned(), Value::Object(metadata));
        }
        if self.service_account.is_some() {
            // The API server keeps both fields equal: with one of them left, it would restore the other.
            let field = |name: &str| template.spec(name).cloned().unwrap_or(Value::Null);
            let names = ["serviceAccountName", "serviceAccount"];
            let spec = names.map(|name| (name.to_owned(), field(name)));
            restored.insert("spec".to_owned(), Value::Object(spec.into_iter().collect()));
        }
        at(form.path(), Value::Object(restored))
    }
}

/// The result of a merge patch (RFC 7386).
#[must_use]
pub fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut merged = target.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(key);
        } else {
            let before = merged.get(key).unwrap_or(&Value::Null);
            let value = self::merged(before, value);
            merged.insert(key.clone(), value);
        }
    }
    Value::Object(merged)
}

/// Two patches of different fields in one. [`merged`] would leave out their nulls.
#[must_use]
pub fn with_nulls(one: &Value, other: &Value) -> Value {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let mut both = one.clone();
            for (key, value) in other {
                let inner = both.get(key).map(|it| with_nulls(it, value));
                both.insert(key.clone(), inner.unwrap_or_else(|| value.clone()));
            }
            Value::Object(both)
        }
        (_, other) => other.clone(),
    }
}

/// A value under a path of fields.
fn at(path: &[&str], value: Value) -> Value {
    let wrap = |inner, field: &&str| json!({ (*field): inner });
    path.iter().rev().fold(value, wrap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change() -> Change {
        let entry = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        Change {
            labels: entry("use", "true"),
            annotations: entry("inject", "true"),
            service_account: Some("shop".to_owned()),
        }
    }

    fn object(form: Form, template: &Value) -> Value {
        at(form.path(), template.clone())
    }

    /// What the API server stores: of its own kinds no empty map of annotations.
    fn stored(form: Form, mut object: Value) -> Value {
        let path = format!("/{}/metadata", form.path().join("/"));
        let metadata = object.pointer_mut(&path).and_then(Value::as_object_mut);
        if let Some(metadata) = metadata.filter(|_| form != Form::Custom) {
            metadata.retain(|_, it| *it != json!({}));
        }
        object
    }

    #[test]
    fn the_way_back_restores_every_form_of_template() {
        for template in [
            json!({ "metadata": { "labels": { "a": "b" } }, "spec": {} }),
            json!({ "metadata": { "labels": { "use": "false" }, "annotations": { "x": "y" } }, "spec": { "a": 1 } }),
            json!({ "metadata": { "labels": { "a": "b" }, "annotations": { "inject": "false" } },
                "spec": { "serviceAccountName": "old", "serviceAccount": "old" } }),
        ] {
            for form in [Form::Template, Form::CronJob, Form::Custom] {
                let before = object(form, &template);
                let own = PodTemplate(template.clone());
                let change = change().without_present(&own);
                let after = merged(&before, &change.forward(form));
                assert_ne!(after, before);
                let back = merged(&after, &change.back(form, &own));
                assert_eq!(stored(form, back), before, "{form:?}");
            }
        }
    }

    #[test]
    fn a_change_that_is_there_is_empty() {
        let template = json!({
            "metadata": { "labels": { "use": "true" }, "annotations": { "inject": "true" } },
            "spec": { "serviceAccountName": "shop" },
        });
        let template = PodTemplate(template);
        assert!(change().without_present(&template).is_empty());
        assert_eq!(Change::default().forward(Form::Pod), json!({}));
    }

    /// The API server would restore one field from the other.
    #[test]
    fn the_way_back_removes_both_fields_of_the_account() {
        let back = change().back(Form::Template, &PodTemplate(json!({ "spec": {} })));
        let spec = json!({ "serviceAccountName": null, "serviceAccount": null });
        assert_eq!(back["spec"]["template"]["spec"], spec);
    }

    proptest! {
        #[test]
        fn the_way_back_restores_what_the_change_overwrites(
            labels in prop::collection::btree_map("[ab]", "[xy]", 1..3),
            annotations in prop::option::of(prop::collection::btree_map("[ab]", "[xy]", 1..3)),
            changed in prop::collection::btree_map("[abc]", "[xyz]", 1..4),
            account in prop::option::of("[a-c]"),
        ) {
            let mut template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [] } });
            if let Some(annotations) = annotations {
                template["metadata"]["annotations"] = json!(annotations);
            }
            if let Some(account) = account {
                template["spec"]["serviceAccountName"] = json!(account);
            }
            let own = PodTemplate(template.clone());
            let change = Change { labels: changed.clone(), annotations: changed, service_account: Some("b".to_owned()) };
            let change = change.without_present(&own);
            let before = object(Form::Custom, &template);
            let after = merged(&before, &change.forward(Form::Custom));
            prop_assert_eq!(merged(&after, &change.back(Form::Custom, &own)), before);
        }
    }
}
