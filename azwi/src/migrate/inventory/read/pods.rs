//! Reads pods: those of pod-managed identity, those of the webhook, and those that have no workload.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::workloads::{Found, Metadata, USE, concerns, controller};
use crate::facts::object::Object;
use crate::facts::read::reader::{Reader, Resource};
use crate::facts::template::Template;
use crate::migrate::inventory::template::PodTemplate;
use crate::migrate::inventory::workload::{Form, Place, Pod, Workload};

/// Reads the pods, after the workloads.
pub(super) async fn read(reader: &mut Reader, namespace: Option<&str>, found: &mut Found) {
    let add = |raw: &RawValue| add(raw, found);
    reader.list(PODS, namespace, add).await;
}

fn add(raw: &RawValue, found: &mut Found) -> Result<(), serde_json::Error> {
    let Wire {
        mut metadata,
        status,
    } = serde_json::from_str(raw.get())?;
    let status = status.unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or_default();
    let has_ended = ["Succeeded", "Failed"].contains(&phase);
    if has_ended || metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let object = Object::new(PODS.kind, &metadata.namespace, &metadata.name);
    match controller(&mut metadata) {
        Some(owner) if owner.object.kind == "Node" => return Ok(()),
        Some(owner) => found.own(object.clone(), owner),
        None => {}
    }
    let root = found.root(&object);
    let is_concerned = concerns(raw.get());
    if !is_concerned && !raw.get().contains(USE) {
        if root == object {
            let account = Template::read(raw, false)?.service_account;
            found.use_account(&object, &account);
        }
        return Ok(());
    }
    let template = PodTemplate(serde_json::from_str(raw.get())?);
    if root == object {
        found.use_account(&object, template.account());
    }
    let is_custom = found.versions.contains_key(&root);
    let mut conditions = status.conditions.into_iter().flatten();
    found.pods.push(Pod {
        object: object.clone(),
        owner: root.clone(),
        selector: template.selector().map(str::to_owned),
        template: Template::read(raw, false)?,
        is_ready: conditions.any(|it| it.kind == "Ready" && it.status == "True"),
    });
    if is_concerned && root == object {
        found.workloads.push(Workload {
            object,
            place: Place {
                version: PODS.version.to_owned(),
                plural: PODS.plural.to_owned(),
            },
            form: Form::Pod,
            manifest: Some(template.0.clone()),
            before: metadata.annotations.before,
            template,
            ..Workload::default()
        });
    } else if is_concerned && is_custom {
        found.foreign.entry(root).or_insert(template);
    }
    Ok(())
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
struct Status {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

const PODS: Resource = Resource::new("v1", "pods", "Pod");
