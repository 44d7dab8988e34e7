//! Reads everything with a pod template.

use std::collections::BTreeMap;

use contract::{annotation, label};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::reader::{Reader, Resource};
use crate::facts::Facts;
use crate::facts::object::Object;
use crate::facts::template::{Entries, Template};
use crate::facts::workload::Workload;

/// Who owns the ReplicaSets and Jobs that something else makes.
pub(crate) type Owners = BTreeMap<Object, Object>;

/// Reads the workloads into `facts`.
pub(super) async fn read(
    reader: &mut Reader,
    namespace: Option<&str>,
    facts: &mut Facts,
) -> Owners {
    let mut owners = Owners::new();
    for resource in RESOURCES {
        reader
            .list(resource, namespace, |raw| {
                add(resource.kind, raw, &mut owners, facts)
            })
            .await;
    }
    owners
}

/// Adds a workload by its JSON to `facts`, or its owner to `owners`.
pub(crate) fn add(
    kind: &str,
    raw: &RawValue,
    owners: &mut Owners,
    facts: &mut Facts,
) -> Result<(), serde_json::Error> {
    let wire: Wire<'_> = serde_json::from_str(raw.get())?;
    let metadata = wire.metadata;
    let object = Object::new(kind, &metadata.namespace, &metadata.name);
    if let Some(owner) = controller(metadata.owner_references) {
        owners.insert(
            object,
            Object::new(&owner.kind, &metadata.namespace, &owner.name),
        );
        return Ok(());
    }
    let status = wire.status.unwrap_or_default();
    if kind == "Job" && status.has_ended() {
        return Ok(());
    }
    let spec = wire.spec;
    let raw = spec.template.or_else(|| spec.job_template?.template());
    let Some(raw) = raw else { return Ok(()) };
    let template = Template::read(raw, true)?;
    let account = (metadata.namespace, template.service_account.clone());
    facts.used_accounts.insert(account);
    let Entries(annotations) = metadata.annotations.unwrap_or_default();
    let Entries(labels) = metadata.labels.unwrap_or_default();
    let failure = status.conditions().find(|it| it.kind == "ReplicaFailure");
    facts.workloads.push(Workload {
        object,
        is_labelled: labels.contains_key(label::USE),
        client_id: annotations.get(annotation::CLIENT_ID).cloned(),
        template,
        failure: failure.and_then(|it| it.message.clone()),
    });
    Ok(())
}

/// The owner that controls an object.
pub(crate) fn controller(owners: Option<Vec<Owner>>) -> Option<Owner> {
    let mut owners = owners.unwrap_or_default().into_iter();
    owners.find(|it| it.controller == Some(true))
}

#[derive(Deserialize)]
struct Wire<'a> {
    metadata: Metadata,
    #[serde(borrow)]
    spec: Spec<'a>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    annotations: Option<Entries>,
    labels: Option<Entries>,
    owner_references: Option<Vec<Owner>>,
}

/// An entry of `ownerReferences`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owner {
    pub(crate) api_version: Option<String>,
    pub(crate) kind: String,
    pub(crate) name: String,
    controller: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    template: Option<&'a RawValue>,
    #[serde(borrow)]
    job_template: Option<JobTemplate<'a>>,
}

/// `jobTemplate` of a CronJob.
#[derive(Deserialize)]
pub(crate) struct JobTemplate<'a> {
    #[serde(borrow)]
    spec: JobSpec<'a>,
}

impl<'a> JobTemplate<'a> {
    /// The template of the pods.
    pub(crate) fn template(&self) -> Option<&'a RawValue> {
        self.spec.template
    }
}

#[derive(Deserialize)]
struct JobSpec<'a> {
    #[serde(borrow)]
    template: Option<&'a RawValue>,
}

/// `status` of a workload.
#[derive(Default, Deserialize)]
pub(crate) struct Status {
    conditions: Option<Vec<Condition>>,
}

impl Status {
    /// Whether a Job has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let mut conditions = self.conditions();
        conditions.any(|it| it.kind == "Complete" || it.kind == "Failed")
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let conditions = self.conditions.iter().flatten();
        conditions.filter(|it| it.status == "True")
    }
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    message: Option<String>,
}

/// Every kind of Kubernetes itself with a pod template.
pub(crate) const RESOURCES: [Resource; 7] = [
    Resource::new("apps/v1", "deployments", "Deployment"),
    Resource::new("apps/v1", "statefulsets", "StatefulSet"),
    Resource::new("apps/v1", "daemonsets", "DaemonSet"),
    Resource::new("apps/v1", "replicasets", "ReplicaSet"),
    Resource::new("batch/v1", "cronjobs", "CronJob"),
    Resource::new("batch/v1", "jobs", "Job"),
    Resource::new("v1", "replicationcontrollers", "ReplicationController"),
];
