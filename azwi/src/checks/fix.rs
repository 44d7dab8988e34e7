//! Commands that mend a finding. They work when they are pasted: only `<placeholders>` are left to fill in.

use contract::value::is_guid;
use contract::{annotation, label};

use crate::facts::object::Object;

/// Gives the template of a workload the label.
pub(super) fn add_label(object: &Object) -> String {
    let labels = format!(r#"{{"metadata":{{"labels":{{"{}":"true"}}}}}}"#, label::USE);
    match object.kind.as_str() {
        "Pod" => format!(
            "kubectl -n {ns} get pod/{name} -o json | kubectl label --local --overwrite -f - {label}=true -o json | \
             kubectl replace --force -f -",
            ns = object.namespace,
            name = object.name,
            label = label::USE
        ),
        // A Job's template cannot change. The labels and the selector of the old Job belong to it alone.
        "Job" => format!(
            "kubectl -n {ns} get job/{name} -o json | kubectl patch --local -f - --type merge -o json \
             --patch '{{\"spec\":{{\"selector\":null,\"template\":{{\"metadata\":{{\"labels\":{{\
             \"controller-uid\":null,\"batch.kubernetes.io/controller-uid\":null,\"{label}\":\"true\"}}}}}}}}}}' | \
             kubectl replace --force -f -",
            ns = object.namespace,
            name = object.name,
            label = label::USE
        ),
        "CronJob" => patch(
            object,
            &format!(r#"{{"spec":{{"jobTemplate":{{"spec":{{"template":{labels}}}}}}}}}"#),
        ),
        kind if has_usual_template(kind) => {
            patch(object, &format!(r#"{{"spec":{{"template":{labels}}}}}"#))
        }
        _ => edit(object),
    }
}

/// Makes new pods of a workload. `pods` are those to replace where nothing rolls them out.
pub(super) fn restart<'a>(object: &Object, pods: impl IntoIterator<Item = &'a Object>) -> String {
    match object.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => {
            format!("kubectl rollout restart {}", object.argument())
        }
        "Pod" => format!(
            "kubectl get {} -o json | kubectl replace --force -f -",
            object.argument()
        ),
        _ => {
            let names: Vec<&str> = pods.into_iter().map(|it| it.name.as_str()).collect();
            format!(
                "kubectl -n {} delete pod {}",
                object.namespace,
                names.join(" ")
            )
        }
    }
}

/// Gives a service account a client id. The value of another object is used if it can be one.
pub(super) fn annotate(account: &Object, client_id: Option<&str>) -> String {
    let value = client_id.map(str::trim).filter(|it| is_guid(it));
    format!(
        "kubectl annotate --overwrite {} {}={}",
        account.argument(),
        annotation::CLIENT_ID,
        value.unwrap_or("<client id>")
    )
}

/// Opens an object in an editor, where no command can know the right value.
pub(super) fn edit(object: &Object) -> String {
    format!("kubectl edit {}", object.argument())
}

fn patch(object: &Object, patch: &str) -> String {
    format!(
        "kubectl patch {} --type merge --patch '{patch}'",
        object.argument()
    )
}

fn has_usual_template(kind: &str) -> bool {
    let kinds = [
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
    ];
    kinds.contains(&kind)
}
