//! Commands that fix a finding. They work when they are pasted: only `<placeholders>` are left to fill in.

use contract::value::is_guid;
use contract::{annotation, label};
use serde_json::json;

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
        _ => patch_template(object, &labels),
    }
}

/// Gives the template of a workload another service account.
pub(super) fn set_account(object: &Object, account: &str) -> String {
    let spec = format!(r#"{{"spec":{{"serviceAccountName":"{account}"}}}}"#);
    patch_template(object, &spec)
}

/// Takes the client id off the template of a workload.
pub(super) fn remove_client_id(object: &Object) -> String {
    let metadata = format!(
        r#"{{"metadata":{{"annotations":{{"{}":null}}}}}}"#,
        annotation::CLIENT_ID
    );
    patch_template(object, &metadata)
}

/// Gives the pods of a workload mode `environment`, which needs no NET_ADMIN.
pub(super) fn set_environment_mode(object: &Object) -> String {
    let metadata = format!(
        r#"{{"metadata":{{"annotations":{{"{}":"environment"}}}}}}"#,
        annotation::PROXY_MODE
    );
    patch_template(object, &metadata)
}

/// Gives the pods of a workload the sidecar.
pub(super) fn add_proxy(object: &Object) -> String {
    let metadata = format!(
        r#"{{"metadata":{{"annotations":{{"{}":"true"}}}}}}"#,
        annotation::INJECT_PROXY_SIDECAR
    );
    patch_template(object, &metadata)
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

/// Opens a file at a line. `None` for standard input.
pub(super) fn open(file: &str, line: usize) -> Option<String> {
    (file != "-").then(|| format!("${{EDITOR:-vi}} +{line} {}", quoted(file)))
}

/// Merges JSON into the template of a workload, or opens an editor where its place is not known.
fn patch_template(object: &Object, template: &str) -> String {
    match object.kind.as_str() {
        "CronJob" => patch(
            object,
            &format!(r#"{{"spec":{{"jobTemplate":{{"spec":{{"template":{template}}}}}}}}}"#),
        ),
        kind if has_usual_template(kind) => {
            patch(object, &format!(r#"{{"spec":{{"template":{template}}}}}"#))
        }
        _ => edit(object),
    }
}

fn patch(object: &Object, patch: &str) -> String {
    format!(
        "kubectl patch {} --type merge --patch '{patch}'",
        object.argument()
    )
}

/// Gives a service account a tenant.
pub(super) fn set_tenant(account: &Object) -> String {
    format!(
        "kubectl annotate --overwrite {} {}=<tenant id>",
        account.argument(),
        annotation::TENANT_ID
    )
}

/// Lets labelled pods of a namespace connect to a port, and to name servers.
pub(super) fn let_out(namespace: &str, port: u16) -> String {
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
    format!("echo '{policy}' | kubectl -n {namespace} apply -f -")
}

/// Shows why pods of a namespace are not created.
pub(super) fn failed_events(namespace: &str) -> String {
    format!("kubectl -n {namespace} get events --field-selector reason=FailedCreate")
}

/// Reads an issuer's discovery document as the world sees it.
pub(super) fn read_discovery(issuer: &str) -> String {
    let issuer = issuer.trim_end_matches('/');
    let url = format!("{issuer}/.well-known/openid-configuration");
    format!("curl --fail --show-error {}", quoted(&url))
}

/// A word of a shell's command.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_a_shell_would_read_otherwise() {
        assert_eq!(
            quoted("https://issuer.example/id/"),
            "https://issuer.example/id/"
        );
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
