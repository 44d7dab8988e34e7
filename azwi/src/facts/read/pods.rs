//! Reads pods.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::reader::{Reader, Resource};
use super::workloads::{Owner, Owners, RESOURCES, controller};
use crate::facts::Facts;
use crate::facts::object::Object;
use crate::facts::template::Template;
use crate::facts::workload::Pod;

/// Reads the pods into `facts`, after the workloads.
pub(super) async fn read(
    reader: &mut Reader,
    namespace: Option<&str>,
    owners: &Owners,
    facts: &mut Facts,
) {
    reader
        .list(PODS, namespace, |raw| add(raw, owners, facts))
        .await;
}

fn add(raw: &RawValue, owners: &Owners, facts: &mut Facts) -> Result<(), serde_json::Error> {
    let Wire { metadata, status } = serde_json::from_str(raw.get())?;
    let phase = status.unwrap_or_default().phase.unwrap_or_default();
    let has_ended = phase == "Succeeded" || phase == "Failed";
    if has_ended || metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let owner = controller(metadata.owner_references).map(|it| {
        let direct = Object::new(&it.kind, &metadata.namespace, &it.name);
        owners.get(&direct).cloned().unwrap_or(direct)
    });
    // A static pod: the kubelet runs it from a file, without a service account token.
    if owner.as_ref().is_some_and(|it| it.kind == "Node") {
        return Ok(());
    }
    let template = Template::read(raw, false)?;
    let account = (metadata.namespace.clone(), template.service_account.clone());
    facts.used_accounts.insert(account);
    let has_template = owner.as_ref().is_some_and(has_template);
    if template.is_labelled() || !has_template {
        facts.pods.push(Pod {
            object: Object::new(PODS.kind, &metadata.namespace, &metadata.name),
            owner,
            template,
        });
    }
    Ok(())
}

/// Whether the owner's template is read, so that its pods need not be looked at one by one.
fn has_template(owner: &Object) -> bool {
    RESOURCES.iter().any(|it| it.kind == owner.kind)
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    deletion_timestamp: Option<String>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Default, Deserialize)]
struct Status {
    phase: Option<String>,
}

const PODS: Resource = Resource::new("v1", "pods", "Pod");
