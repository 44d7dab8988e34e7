//! Objects to apply: service accounts with what they need, patches as files, and pods and Jobs to recreate.

use serde_json::{Value, json};

use super::super::patch::merged;
use super::super::plan::{Account, Move};
use crate::migrate::inventory::Grant;
use crate::migrate::inventory::workload::Form;
use crate::migrate::{BEFORE, REPLACES};

/// A service account that has to be made or to be annotated, then the bindings of its rights.
#[must_use]
pub fn account(account: &Account) -> Vec<Value> {
    if account.is_done() {
        return Vec::new();
    }
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "namespace": account.namespace,
            "name": account.name,
            "annotations": account.annotations,
        },
    });
    let mut objects = Vec::new();
    if !account.is_new {
        let before = json!(account.before).to_string();
        object = merged(
            &object,
            &json!({ "metadata": { "annotations": { BEFORE: before } } }),
        );
    }
    if let Some((replaced, details)) = account.replaces.as_ref().filter(|_| account.is_new) {
        let secrets = details.image_pull_secrets.iter();
        let secrets: Vec<Value> = secrets.map(|it| json!({ "name": it })).collect();
        // A patch leaves out what is null.
        let more = json!({
            "metadata": { "annotations": { REPLACES: replaced } },
            "imagePullSecrets": (!secrets.is_empty()).then_some(secrets),
            "automountServiceAccountToken": details.automount,
        });
        object = merged(&object, &more);
        objects.extend(details.grants.iter().map(|it| grant(account, it)));
    }
    objects.insert(0, object);
    objects
}

fn grant(account: &Account, grant: &Grant) -> Value {
    let binding = &grant.binding;
    let is_namespaced = !binding.namespace.is_empty();
    let name = if is_namespaced {
        format!("{}-{}", binding.name, account.name)
    } else {
        format!("{}-{}-{}", binding.name, account.namespace, account.name)
    };
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": binding.kind,
        "metadata": { "name": name, "annotations": { REPLACES: binding.name } },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": grant.role_kind, "name": grant.role },
        "subjects": [{ "kind": "ServiceAccount", "namespace": account.namespace, "name": account.name }],
    });
    let namespace = is_namespaced.then_some(&binding.namespace);
    merged(&object, &json!({ "metadata": { "namespace": namespace } }))
}

/// The patch of a workload as an object of its own: kustomize finds the workload by it.
#[must_use]
pub fn patch(it: &Move) -> Value {
    named(it, &it.change.forward(it.workload.form))
}

/// The same for the way back.
#[must_use]
pub fn back(it: &Move) -> Value {
    named(it, &it.change.back(it.workload.form, &it.workload.template))
}

fn named(it: &Move, patch: &Value) -> Value {
    let object = &it.workload.object;
    let name = json!({
        "apiVersion": it.workload.place.version,
        "kind": object.kind,
        "metadata": { "namespace": object.namespace, "name": object.name },
    });
    merged(&name, patch)
}

/// The patch with the way back in an annotation of the object.
#[must_use]
pub fn remembered(it: &Move) -> Value {
    let back = it.change.back(it.workload.form, &it.workload.template);
    let before = json!({ "metadata": { "annotations": { BEFORE: back.to_string() } } });
    merged(&before, &it.change.forward(it.workload.form))
}

/// A pod or a Job as it has to be recreated, `None` for other forms.
#[must_use]
pub fn remade(it: &Move) -> Option<Value> {
    let form = it.workload.form;
    let manifest = original(it)?;
    Some(merged(&manifest, &it.change.forward(form)))
}

/// A pod or a Job as it was made, `None` for other forms.
#[must_use]
pub fn original(it: &Move) -> Option<Value> {
    let mut manifest = it.workload.manifest.clone()?;
    let object = &it.workload.object;
    let metadata = manifest.get("metadata").cloned().unwrap_or_default();
    let kept = json!({
        "namespace": object.namespace,
        "name": object.name,
        "labels": metadata.get("labels"),
        "annotations": metadata.get("annotations"),
    });
    let fields = manifest.as_object_mut()?;
    fields.remove("metadata");
    fields.remove("status");
    let named = json!({
        "apiVersion": it.workload.place.version,
        "kind": object.kind,
        "metadata": kept,
    });
    let mut manifest = merged(&manifest, &named);
    match it.workload.form {
        Form::Pod => clean_pod(&mut manifest),
        _ => clean_job(&mut manifest),
    }
    Some(manifest)
}

/// Removes what the API server and the scheduler have added: the node, and the token of the service account.
fn clean_pod(manifest: &mut Value) {
    let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    spec.remove("nodeName");
    let is_added = |it: &Value, field: &str, prefix: &str| {
        let text = it.get(field).and_then(Value::as_str);
        text.is_some_and(|it| it.starts_with(prefix))
    };
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.retain(|it| !is_added(it, "name", API_TOKEN));
    }
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mounts = container.get_mut("volumeMounts");
            if let Some(mounts) = mounts.and_then(Value::as_array_mut) {
                mounts.retain(|it| !is_added(it, "name", API_TOKEN));
            }
        }
    }
}

/// Removes what belongs to the old Job alone: its selector, and the labels by which it finds its pods.
fn clean_job(manifest: &mut Value) {
    let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if spec.get("manualSelector").and_then(Value::as_bool) == Some(true) {
        return;
    }
    spec.remove("selector");
    let labels = spec
        .get_mut("template")
        .and_then(|it| it.pointer_mut("/metadata/labels"));
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        labels.retain(|key, _| !JOB_LABELS.contains(&key.as_str()));
    }
    if let Some(labels) = manifest
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.retain(|key, _| !JOB_LABELS.contains(&key.as_str()));
    }
}

/// How the names of the volumes begin that the API server adds.
const API_TOKEN: &str = "kube-api-access-";
const JOB_LABELS: [&str; 4] = [
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "job-name",
    "batch.kubernetes.io/job-name",
];
