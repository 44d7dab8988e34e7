//! Creates a labelled pod as a dry run, with the template of a workload.

use std::collections::BTreeSet;

use kube::Error;
use serde_json::{Map, Value, json};

use super::reader::{ReadError, Reader};
use crate::facts::Facts;
use crate::facts::dry_run::{DryRun, Outcome};
use crate::facts::template::Template;
use crate::facts::workload::Workload;

/// A dry run with the template of the one workload, or of the first that the webhook should act on. `None` when
/// there is no such template, or the right is missing.
pub(super) async fn read(reader: &mut Reader, facts: &Facts) -> Option<DryRun> {
    let workload = facts.workloads.iter().find(|it| is_usable(facts, it))?;
    let namespace = &workload.object.namespace;
    let pod = pod(workload)?;
    let outcome = match create(reader, namespace, &pod).await {
        Ok(outcome) => outcome,
        Err(error) => {
            reader.miss("create", "pods".to_owned(), Some(namespace), &error);
            return None;
        }
    };
    Some(DryRun {
        object: workload.object.clone(),
        outcome,
    })
}

/// Creates a pod as a dry run.
pub(super) async fn create(
    reader: &Reader,
    namespace: &str,
    pod: &Value,
) -> Result<Outcome, ReadError> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    match reader.post(&path, pod.to_string().into_bytes()).await {
        Ok(text) => {
            let raw = serde_json::from_str(&text)?;
            Ok(Outcome::Admitted(Template::read(raw, false)?))
        }
        Err(ReadError::Answer(Error::Api(status))) if is_answer(&status.message) => {
            Ok(Outcome::Refused(status.message.clone()))
        }
        Err(error) => Err(error),
    }
}

/// Whether the webhook acts on pods of the workload, as far as can be said before the checks.
pub(super) fn is_usable(facts: &Facts, workload: &Workload) -> bool {
    let template = &workload.template;
    let key = (
        workload.object.namespace.clone(),
        template.service_account.clone(),
    );
    let accounts = facts.accounts.as_ref();
    let account = accounts.and_then(|it| it.get(&key));
    let has_identity =
        account.is_some_and(|it| template.names_identities || !it.client_id().is_empty());
    template.is_labelled() && has_identity
}

/// The right is missing, as against a refusal by what the request went through.
fn is_answer(message: &str) -> bool {
    !message.contains("cannot create resource \"pods\"")
}

/// A pod with the template of a workload.
pub(super) fn pod(workload: &Workload) -> Option<Value> {
    let mut template: Value = serde_json::from_str(workload.template.json.as_deref()?).ok()?;
    let metadata = template.get("metadata");
    let metadata = json!({
        "generateName": "azwi-check-",
        "labels": metadata.and_then(|it| it.get("labels")),
        "annotations": metadata.and_then(|it| it.get("annotations")),
    });
    let spec = template.get_mut("spec")?.as_object_mut()?;
    add_claimed_volumes(spec);
    Some(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }))
}

/// Adds the volumes that a StatefulSet adds to its pods, by their mounts.
fn add_claimed_volumes(spec: &mut Map<String, Value>) {
    let named = |it: &Value| Some(it.get("name")?.as_str()?.to_owned());
    let list = |it: Option<&Value>| it.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut volumes = list(spec.get("volumes"));
    let mut known: BTreeSet<String> = volumes.iter().filter_map(named).collect();
    let containers = ["containers", "initContainers"].map(|it| list(spec.get(it)));
    let containers = containers.iter().flatten();
    let mounts = containers.flat_map(|it| list(it.get("volumeMounts")));
    for mount in mounts.filter_map(|it| named(&it)) {
        if known.insert(mount.clone()) {
            volumes.push(json!({ "name": mount, "emptyDir": {} }));
        }
    }
    spec.insert("volumes".to_owned(), Value::Array(volumes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_volumes_of_claims() {
        let mut spec = json!({
            "volumes": [{ "name": "config" }],
            "containers": [{ "name": "app", "volumeMounts": [{ "name": "config" }, { "name": "data" }] }],
        });
        add_claimed_volumes(spec.as_object_mut().unwrap());
        let expected = json!([{ "name": "config" }, { "name": "data", "emptyDir": {} }]);
        assert_eq!(spec["volumes"], expected);
    }
}
