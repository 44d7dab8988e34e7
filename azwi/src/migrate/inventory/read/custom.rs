//! Reads custom kinds with a pod template: those with a scale subresource, at zero replicas too, and the owners of
//! pods.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::workloads::{Found, concerns};
use crate::facts::object::Object;
use crate::facts::read::reader::Reader;
use crate::migrate::BEFORE;
use crate::migrate::inventory::template::PodTemplate;
use crate::migrate::inventory::workload::{Form, Place, Workload};

/// Reads all objects of kinds with a scale subresource.
pub(super) async fn read(reader: &mut Reader, namespace: Option<&str>, found: &mut Found) {
    for version in versions(reader).await {
        for kind in kinds(reader, &version).await.into_values() {
            if kind.is_scalable {
                list(reader, namespace, &version, &kind, found).await;
            }
        }
    }
}

/// Reads the owners of what was found. One without a pod template has an operator that makes it.
pub(super) async fn read_owners(reader: &mut Reader, found: &mut Found) {
    let mut known = BTreeMap::new();
    for (owner, template) in std::mem::take(&mut found.foreign) {
        let root = found.root(&owner);
        if found.has(&root) {
            continue;
        }
        let version = found.versions.get(&root).cloned().unwrap_or_default();
        if !known.contains_key(&version) {
            known.insert(version.clone(), kinds(reader, &version).await);
        }
        let kind = known.get(&version).and_then(|it| it.get(&root.kind));
        let mut workload = match kind {
            Some(kind) => get(reader, &version, kind, &root).await,
            None => None,
        }
        .unwrap_or_else(|| Workload {
            object: root.clone(),
            place: Place {
                version,
                plural: kind.map(|it| it.plural.clone()).unwrap_or_default(),
            },
            form: Form::Operator,
            ..Workload::default()
        });
        if workload.form == Form::Operator {
            workload.template = template;
        }
        let account = workload.template.account().to_owned();
        found.use_account(&root, &account);
        found.workloads.push(workload);
    }
}

async fn list(
    reader: &mut Reader,
    namespace: Option<&str>,
    version: &str,
    kind: &Kind,
    found: &mut Found,
) {
    let place = namespace.map_or_else(String::new, |it| format!("/namespaces/{it}"));
    let path = format!("/apis/{version}{place}/{}", kind.plural);
    let group = version.split('/').next().unwrap_or_default();
    let right = format!("{}.{group}", kind.plural);
    let mut workloads = Vec::new();
    let mut references = Vec::new();
    let each = |raw: &RawValue| {
        let text = raw.get();
        if concerns(text) || text.contains(REFERENCE) {
            let value: Value = serde_json::from_str(text)?;
            references.extend(reference(&value, kind));
            workloads.extend(custom(&value, version, kind).filter(|_| concerns(text)));
        }
        Ok(())
    };
    reader.list_at(&path, &right, namespace, each).await;
    found.references.extend(references);
    for workload in workloads {
        found.use_account(&workload.object, workload.template.account());
        found.workloads.push(workload);
    }
}

async fn get(reader: &mut Reader, version: &str, kind: &Kind, object: &Object) -> Option<Workload> {
    let Object {
        namespace, name, ..
    } = object;
    let path = format!(
        "/apis/{version}/namespaces/{namespace}/{}/{name}",
        kind.plural
    );
    let text = reader.document(&path).await?;
    custom(&serde_json::from_str(&text).ok()?, version, kind)
}

/// A custom object with a pod template at the usual place.
fn custom(value: &Value, version: &str, kind: &Kind) -> Option<Workload> {
    let template = value.pointer("/spec/template")?;
    template.pointer("/spec/containers")?.as_array()?;
    let before = value.get("metadata")?.get("annotations");
    Some(Workload {
        object: object(value, &kind.name)?,
        place: Place {
            version: version.to_owned(),
            plural: kind.plural.clone(),
        },
        form: Form::Custom,
        template: PodTemplate(template.clone()),
        manifest: None,
        replicas: value.pointer("/spec/replicas").and_then(Value::as_u64),
        rolls: true,
        before: before.and_then(|it| Some(it.get(BEFORE)?.as_str()?.to_owned())),
    })
}

/// The object whose template a custom one uses, as Argo's Rollouts may.
fn reference(value: &Value, kind: &Kind) -> Option<(Object, Object)> {
    let target = value.get("spec")?.get(REFERENCE)?;
    let text = |field| target.get(field).and_then(Value::as_str);
    let object = object(value, &kind.name)?;
    let target = Object::new(text("kind")?, &object.namespace, text("name")?);
    Some((object, target))
}

fn object(value: &Value, kind: &str) -> Option<Object> {
    let metadata = value.get("metadata")?;
    let text = |field| metadata.get(field).and_then(Value::as_str);
    Some(Object::new(kind, text("namespace")?, text("name")?))
}

/// A kind of a custom group.
#[derive(Debug)]
struct Kind {
    name: String,
    plural: String,
    is_scalable: bool,
}

/// The preferred version of each custom group.
async fn versions(reader: &mut Reader) -> Vec<String> {
    let Some(text) = reader.document("/apis").await else {
        return Vec::new();
    };
    let groups: Groups = serde_json::from_str(&text).unwrap_or_default();
    let custom = groups.groups.into_iter().filter(|it| {
        // Kubernetes' own groups have no dot, or end in k8s.io. Kinds of such a group that are custom resources of
        // the project itself have no pods.
        it.name.contains('.') && !it.name.ends_with("k8s.io")
    });
    custom
        .map(|it| it.preferred_version.group_version)
        .collect()
}

/// The kinds of a version, by their names.
async fn kinds(reader: &mut Reader, version: &str) -> BTreeMap<String, Kind> {
    if version.is_empty() {
        return BTreeMap::new();
    }
    let Some(text) = reader.document(&format!("/apis/{version}")).await else {
        return BTreeMap::new();
    };
    let list: Resources = serde_json::from_str(&text).unwrap_or_default();
    let has_scale = |plural: &str| {
        let wanted = format!("{plural}/scale");
        list.resources.iter().any(|it| it.name == wanted)
    };
    let own = list.resources.iter().filter(|it| !it.name.contains('/'));
    own.filter(|it| it.namespaced)
        .map(|it| {
            let kind = Kind {
                name: it.kind.clone(),
                plural: it.name.clone(),
                is_scalable: has_scale(&it.name),
            };
            (it.kind.clone(), kind)
        })
        .collect()
}

#[derive(Default, Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    preferred_version: GroupVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
}

#[derive(Default, Deserialize)]
struct Resources {
    resources: Vec<ApiResource>,
}

#[derive(Deserialize)]
struct ApiResource {
    name: String,
    kind: String,
    namespaced: bool,
}

/// The field of Argo's Rollout that names a Deployment.
const REFERENCE: &str = "workloadRef";
