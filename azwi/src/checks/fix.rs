//! Commands that fix a finding. They work when they are pasted: only `<placeholders>` are left to fill in.

use contract::value::is_guid;
use contract::{annotation, label};
use serde_json::{Value, json};

use crate::command::Command;
use crate::facts::object::Object;

/// Gives the template of a workload the label.
pub(super) fn add_label(object: &Object) -> Command {
    match object.kind.as_str() {
        "Pod" => {
            let label = Command::new("kubectl label --local --overwrite -f -")
                .arg(&format!("{}=true", label::USE))
                .text("-o json");
            get_json(object).pipe(&label).pipe(&replace())
        }
        // A Job's template cannot change. The labels and the selector of the old Job belong to it alone.
        "Job" => {
            let change = format!(
                "{{\"spec\":{{\"selector\":null,\"template\":{{\"metadata\":{{\"labels\":{{\
                 \"controller-uid\":null,\"batch.kubernetes.io/controller-uid\":null,\"{}\":\"true\"}}}}}}}}}}",
                label::USE
            );
            let patch = Command::new("kubectl patch --local -f - --type merge -o json --patch");
            get_json(object).pipe(&patch.arg(&change)).pipe(&replace())
        }
        _ => patch_template(
            object,
            &json!({ "metadata": { "labels": { label::USE: "true" } } }),
        ),
    }
}

/// Gives the template of a workload another service account.
pub(super) fn set_account(object: &Object, account: &str) -> Command {
    patch_template(
        object,
        &json!({ "spec": { "serviceAccountName": account } }),
    )
}

/// Takes the client id off the template of a workload.
pub(super) fn remove_client_id(object: &Object) -> Command {
    let annotations = json!({ annotation::CLIENT_ID: null });
    patch_template(
        object,
        &json!({ "metadata": { "annotations": annotations } }),
    )
}

/// Gives the pods of a workload mode `environment`, which needs no NET_ADMIN.
pub(super) fn set_environment_mode(object: &Object) -> Command {
    let annotations = json!({ annotation::PROXY_MODE: "environment" });
    patch_template(
        object,
        &json!({ "metadata": { "annotations": annotations } }),
    )
}

/// Gives the pods of a workload the sidecar.
pub(super) fn add_proxy(object: &Object) -> Command {
    let annotations = json!({ annotation::INJECT_PROXY_SIDECAR: "true" });
    patch_template(
        object,
        &json!({ "metadata": { "annotations": annotations } }),
    )
}

/// Makes new pods of a workload. `pods` are those to replace where nothing rolls them out.
pub(super) fn restart<'a>(object: &Object, pods: impl IntoIterator<Item = &'a Object>) -> Command {
    match object.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => {
            object.named_in(Command::new("kubectl rollout restart"))
        }
        "Pod" => {
            let get = object.named_in(Command::new("kubectl get"));
            get.text("-o json").pipe(&replace())
        }
        _ => {
            let delete = Command::new("kubectl -n").arg(&object.namespace);
            let pods = pods.into_iter();
            pods.fold(delete.text("delete pod"), |it, pod| it.operand(&pod.name))
        }
    }
}

/// Gives a service account a client id. The value of another object is used if it can be one.
pub(super) fn annotate(account: &Object, client_id: Option<&str>) -> Command {
    let value = client_id.map(str::trim).filter(|it| is_guid(it));
    let annotate = account.named_in(Command::new("kubectl annotate --overwrite"));
    match value {
        Some(value) => annotate.arg(&format!("{}={value}", annotation::CLIENT_ID)),
        None => to_fill_in(annotate, annotation::CLIENT_ID, "<client id>"),
    }
}

/// Gives a service account an annotation whose value is to fill in.
pub(super) fn annotate_with(account: &Object, key: &str, placeholder: &'static str) -> Command {
    let annotate = account.named_in(Command::new("kubectl annotate --overwrite"));
    to_fill_in(annotate, key, placeholder)
}

/// Gives a service account a tenant.
pub(super) fn set_tenant(account: &Object) -> Command {
    annotate_with(account, annotation::TENANT_ID, "<tenant id>")
}

fn to_fill_in(command: Command, key: &str, placeholder: &'static str) -> Command {
    command.arg(&format!("{key}=")).joined(placeholder)
}

/// Opens an object in an editor, where no command can know the right value.
pub(super) fn edit(object: &Object) -> Command {
    object.named_in(Command::new("kubectl edit"))
}

/// Opens a file at a line. `None` for standard input.
pub(super) fn open(file: &str, line: usize) -> Option<Command> {
    let line = format!("+{line}");
    (file != "-").then(|| Command::new("${EDITOR:-vi}").arg(&line).arg(file))
}

/// Merges JSON into the template of a workload, or opens an editor where its place is not known.
fn patch_template(object: &Object, template: &Value) -> Command {
    match object.kind.as_str() {
        "CronJob" => patch(
            object,
            &json!({ "spec": { "jobTemplate": { "spec": { "template": template } } } }),
        ),
        kind if has_usual_template(kind) => {
            patch(object, &json!({ "spec": { "template": template } }))
        }
        _ => edit(object),
    }
}

fn patch(object: &Object, patch: &Value) -> Command {
    let command = object.named_in(Command::new("kubectl patch"));
    command.text("--type merge --patch").json(patch)
}

fn get_json(object: &Object) -> Command {
    let Object {
        kind,
        namespace,
        name,
    } = object;
    let get = Command::new("kubectl -n").arg(namespace).text("get");
    let name = format!("{}/{name}", kind.to_ascii_lowercase());
    get.operand(&name).text("-o json")
}

fn replace() -> Command {
    Command::new("kubectl replace --force -f -")
}

/// Lets labelled pods of a namespace connect to a port, and to name servers.
pub(super) fn let_out(namespace: &str, port: u16) -> Command {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "azure-workload-identity-egress" },
        "spec": {
            "podSelector": { "matchLabels": { label::USE: "true" } },
            "policyTypes": ["Egress"],
            "egress": [
                { "ports": [{ "protocol": "TCP", "port": port }] },
                { "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }] },
            ],
        },
    });
    let apply = Command::new("kubectl -n").arg(namespace).text("apply -f -");
    Command::new("echo").json(&policy).pipe(&apply)
}

/// Shows why pods of a namespace are not created.
pub(super) fn failed_events(namespace: &str) -> Command {
    let command = Command::new("kubectl -n").arg(namespace);
    command.text("get events --field-selector reason=FailedCreate")
}

/// Reads an issuer's discovery document as the world sees it.
pub(super) fn read_discovery(issuer: &str) -> Command {
    let issuer = issuer.trim_end_matches('/');
    let url = format!("{issuer}/.well-known/openid-configuration");
    Command::new("curl --fail --show-error").operand(&url)
}

/// Writes the chart's objects as the release has them. `helm upgrade` ends in a conflict where another field manager
/// changed one.
pub(super) const RESTORE: &str = "helm get manifest azure-workload-identity --namespace azure-workload-identity-system | \
                                  kubectl apply --server-side --force-conflicts --field-manager=helm -f -";

/// Reads the keys that the issuer has to publish.
pub(super) const READ_KEYS: &str = "kubectl get --raw /openid/v1/jwks";
/// Gives a user the rights to install the chart. Another user has to run it.
pub(super) const BIND_ADMIN: &str =
    "kubectl create clusterrolebinding azwi-install --clusterrole cluster-admin --user <user>";
/// Installs the chart, or restores what it made.
pub(super) const INSTALL: &str = "helm upgrade --install azure-workload-identity deploy/chart --namespace \
                                  azure-workload-identity-system --create-namespace --reset-then-reuse-values --set \
                                  azureTenantID=<tenant id>";

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
