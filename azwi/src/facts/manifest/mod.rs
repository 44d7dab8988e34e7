//! Manifests that are not applied yet, as facts. Nothing is read of a cluster.

mod place;
mod yaml;

pub use place::Place;
pub use yaml::YamlError;

use std::collections::BTreeMap;

use contract::annotation;
use contract::annotation::PREFIX;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::account::Account;
use super::installation::Installation;
use super::object::Object;
use super::read::{accounts, installation, namespaces, operators, workloads};
use super::template::Template;
use super::workload::Workload;
use super::{Facts, Gap};
use place::Places;
use yaml::{Content, Node};

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, `-` for standard input.
    pub name: String,
    /// What it has.
    pub text: String,
}

/// What manifests have.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The facts. Of the cluster's own they have none.
    pub facts: Facts,
    /// Labels and annotations whose value is not text.
    pub unquoted: Vec<Unquoted>,
    places: Places,
}

/// A label or an annotation of the product with a value that is not text. The API server refuses the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unquoted {
    /// The object.
    pub object: Object,
    /// The label or annotation.
    pub key: String,
    /// The value as JSON.
    pub value: String,
}

/// A file is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("{file} is not YAML: {error}")]
pub struct ManifestError {
    file: String,
    error: YamlError,
}

impl Manifests {
    /// Reads files. `namespace` is that of objects that name none.
    ///
    /// # Errors
    ///
    /// When one is not YAML. A document that is no object of Kubernetes is a gap.
    pub fn read(files: &[File], namespace: &str) -> Result<Self, ManifestError> {
        let mut manifests = Self::default();
        manifests.facts.accounts = Some(BTreeMap::new());
        manifests.facts.namespaces = Some(BTreeMap::new());
        manifests.facts.installation = Some(Installation {
            settings: installation::default_settings(installation::REPOSITORY, None),
            ..Installation::default()
        });
        for file in files {
            let documents = yaml::documents(&file.text).map_err(|error| ManifestError {
                file: file.name.clone(),
                error,
            })?;
            for document in &documents {
                manifests.add(&file.name, document, namespace);
            }
        }
        manifests.assume_accounts();
        Ok(manifests)
    }

    /// The place of an object: its field that `cause` names, or its first line.
    #[must_use]
    pub fn place(&self, object: &Object, cause: &str) -> Option<Place> {
        self.places.find(object, cause)
    }

    /// Adds a document, or each object of a list.
    fn add(&mut self, file: &str, node: &Node, namespace: &str) {
        let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
        let items = node.get("items").map(|it| &it.content);
        if let (true, Some(Content::List(items))) = (kind.ends_with("List"), items) {
            items.iter().for_each(|it| self.add(file, it, namespace));
            return;
        }
        if let Err(reason) = self.add_object(file, node, namespace, kind) {
            self.facts.gaps.push(Gap {
                verb: "read",
                resource: format!("{file}:{}", node.line),
                namespace: None,
                is_forbidden: false,
                reason,
            });
        }
    }

    fn add_object(
        &mut self,
        file: &str,
        node: &Node,
        namespace: &str,
        kind: &str,
    ) -> Result<(), String> {
        if kind.is_empty() {
            return Err("this is no object of Kubernetes: it has no kind".to_owned());
        }
        let mut value = node.to_json();
        let Some(object) = complete(&mut value, kind, namespace) else {
            // Such as a Kustomization, which has no name and no pods.
            return match has_pods(kind, &value) || NAMED.contains(&kind) {
                true => Err(format!("{kind}: metadata.name is missing")),
                false => Ok(()),
            };
        };
        self.quote(&object, &mut value);
        self.places.add(object.clone(), file, node);
        let raw = RawValue::from_string(value.to_string());
        let added = raw.and_then(|raw| self.add_facts(&object, &raw, has_pods(kind, &value)));
        added.map_err(|error| format!("{object} is not what the API documents: {error}"))
    }

    fn add_facts(
        &mut self,
        object: &Object,
        raw: &RawValue,
        has_pods: bool,
    ) -> Result<(), serde_json::Error> {
        let facts = &mut self.facts;
        match object.kind.as_str() {
            "Namespace" => {
                let (name, mut found) = namespaces::one(raw.get())?;
                // The API server adds it.
                let own = "kubernetes.io/metadata.name".to_owned();
                found.labels.insert(own, name.clone());
                facts.namespaces.get_or_insert_default().insert(name, found);
            }
            "ServiceAccount" => {
                let (key, account) = accounts::one(raw)?;
                facts.accounts.get_or_insert_default().insert(key, account);
            }
            "MutatingWebhookConfiguration" => {
                let found = installation::configuration(raw)?;
                let installation = facts.installation.get_or_insert_default();
                installation.configurations.extend(found);
            }
            "SecretStore" | "ClusterSecretStore" => {
                facts
                    .operators
                    .extend(operators::account(&object.kind, raw)?);
            }
            "Pod" => {
                let template = Template::read(raw, true)?;
                let account = (object.namespace.clone(), template.service_account.clone());
                facts.used_accounts.insert(account);
                facts.workloads.push(Workload {
                    object: object.clone(),
                    template,
                    ..Workload::default()
                });
            }
            kind if has_pods => {
                // An owner would make it again, so it is checked by that.
                workloads::add(kind, raw, &mut BTreeMap::new(), facts)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes text of the product's labels and annotations that are not, so that the rest can be checked.
    fn quote(&mut self, object: &Object, value: &mut Value) {
        let metadata = TEMPLATES.iter().map(|it| format!("{it}/metadata"));
        for place in metadata.chain(["/metadata".to_owned()]) {
            for field in ["labels", "annotations"] {
                let entries = value.pointer_mut(&format!("{place}/{field}"));
                let entries = entries.and_then(Value::as_object_mut);
                for (key, value) in entries.into_iter().flatten() {
                    if key.starts_with(PREFIX) && !value.is_string() {
                        let text = value.to_string();
                        self.unquoted.push(Unquoted {
                            object: object.clone(),
                            key: key.clone(),
                            value: text.clone(),
                        });
                        *value = Value::String(text);
                    }
                }
            }
        }
    }

    /// Service accounts of labelled templates that the files lack may be in the cluster, with their client ids.
    fn assume_accounts(&mut self) {
        let labelled = self.facts.workloads.iter();
        let labelled = labelled.filter(|it| it.template.is_labelled());
        let keys: Vec<_> = labelled
            .map(|it| {
                let account = it.template.service_account.clone();
                (it.object.namespace.clone(), account)
            })
            .collect();
        let accounts = self.facts.accounts.get_or_insert_default();
        let mut assumed = BTreeMap::new();
        for key in keys {
            if accounts.contains_key(&key) {
                continue;
            }
            let mut idle = accounts.iter().filter(|(other, account)| {
                let is_used = self.facts.used_accounts.contains(*other);
                other.0 == key.0 && !is_used && !account.client_id().is_empty()
            });
            // With one that nothing uses, the template lacks its name.
            let is_forgotten = key.1 == "default" && idle.next().is_some();
            let account = if is_forgotten {
                Account::default()
            } else {
                assumed_account()
            };
            assumed.insert(key, account);
        }
        accounts.extend(assumed);
    }
}

/// Fills in what the API server fills in, and takes out its own. `None` when the object has no name.
fn complete(value: &mut Value, kind: &str, namespace: &str) -> Option<Object> {
    let object = value.as_object_mut()?;
    object.remove("status");
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let name = ["name", "generateName"];
    let name = name.iter().find_map(|it| text(metadata, it))?;
    metadata.insert("name".to_owned(), name.clone().into());
    metadata.remove("ownerReferences");
    if CLUSTER_SCOPED.contains(&kind) {
        return Some(Object::new(kind, "", &name));
    }
    let namespace = text(metadata, "namespace").unwrap_or_else(|| namespace.to_owned());
    metadata.insert("namespace".to_owned(), namespace.clone().into());
    Some(Object::new(kind, &namespace, &name))
}

fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    let text = map.get(key)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether pods are made of the object, by its kind or, for a custom kind, by its template.
fn has_pods(kind: &str, value: &Value) -> bool {
    let mut known = workloads::RESOURCES.iter();
    let mut templates = TEMPLATES.iter().filter(|it| !it.is_empty());
    kind == "Pod"
        || known.any(|it| it.kind == kind)
        || templates.any(|it| {
            let containers = value.pointer(&format!("{it}/spec/containers"));
            containers.is_some_and(Value::is_array)
        })
}

fn assumed_account() -> Account {
    let id = "00000000-0000-0000-0000-000000000000".to_owned();
    let annotations = BTreeMap::from([(annotation::CLIENT_ID.to_owned(), id)]);
    Account {
        is_assumed: true,
        ..Account::read(&annotations, &BTreeMap::new())
    }
}

/// Where pod templates are.
const TEMPLATES: [&str; 2] = ["/spec/template", "/spec/jobTemplate/spec/template"];
const CLUSTER_SCOPED: [&str; 3] = [
    "Namespace",
    "MutatingWebhookConfiguration",
    "ClusterSecretStore",
];
/// Kinds that are looked at, besides those with pods.
const NAMED: [&str; 3] = [
    "Namespace",
    "ServiceAccount",
    "MutatingWebhookConfiguration",
];
