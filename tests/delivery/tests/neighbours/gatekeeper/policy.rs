//! What Gatekeeper's users commonly refuse, as ConstraintTemplates and constraints.

use std::collections::BTreeSet;

use e2e::{Namespace, kubectl_with_input, list, try_kubectl, until};
use serde_json::{Value, json};

use super::installation::until_in_force;

/// The kind of each constraint, and the condition in Rego on which it refuses a container.
const POLICIES: [(&str, &str); 12] = [
    (
        "AllowedRepositories",
        r#"not startswith(container.image, "registry.example.com/")"#,
    ),
    (
        "Tags",
        r#"not regex.match("(:[^/]+|@sha256:[0-9a-f]{64})$", trim_suffix(container.image, ":latest"))"#,
    ),
    (
        "Requests",
        r#"some resource in ["cpu", "memory"]; not container.resources.requests[resource]"#,
    ),
    ("MemoryLimits", "not container.resources.limits.memory"),
    ("CpuLimits", "not container.resources.limits.cpu"),
    (
        "NonRoot",
        r#"containers.setting(container, ["runAsNonRoot"]) != true"#,
    ),
    (
        "UserIds",
        r#"containers.setting(container, ["runAsUser"]) == 0"#,
    ),
    (
        "ReadOnlyRoot",
        r#"containers.setting(container, ["readOnlyRootFilesystem"]) != true"#,
    ),
    (
        "PrivilegeEscalation",
        r#"containers.setting(container, ["allowPrivilegeEscalation"]) != false"#,
    ),
    (
        "DroppedCapabilities",
        r#"not "ALL" in object.get(container, ["securityContext", "capabilities", "drop"], [])"#,
    ),
    (
        ADDED_CAPABILITIES,
        "count(container.securityContext.capabilities.add) > 0",
    ),
    (
        "Seccomp",
        r#"not containers.setting(container, ["seccompProfile", "type"]) in ["RuntimeDefault", "Localhost"]"#,
    ),
];

/// The constraint that refuses the redirect.
pub(super) const ADDED_CAPABILITIES: &str = "AddedCapabilities";

/// All kinds.
pub(super) fn all() -> Vec<&'static str> {
    POLICIES.iter().map(|(kind, _)| *kind).collect()
}

/// Enforces these policies in a namespace, except for images that begin so. Returns when they are in force.
pub(super) async fn enforce(kinds: &[&str], namespace: &str, exempt: &[&str]) {
    let chosen = POLICIES.iter().filter(|(kind, _)| kinds.contains(kind));
    let templates: Vec<_> = chosen
        .map(|(kind, condition)| template(kind, condition))
        .collect();
    kubectl_with_input(&["apply", "-f", "-"], &list(&templates).to_string()).await;
    let constraints: Vec<_> = kinds
        .iter()
        .map(|kind| constraint(kind, namespace, exempt))
        .collect();
    let constraints = list(&constraints).to_string();
    // Gatekeeper makes their kinds from the templates.
    let apply = async || try_kubectl(&["apply", "-f", "-"], &constraints).await;
    let _ = until("the kinds of the constraints", apply, Result::is_ok).await;
    until_in_force("constraints").await;
}

/// The policies that refuse a pod, each with the container: none for one that is admitted.
///
/// # Panics
///
/// When the pod is refused otherwise.
pub(super) async fn refusals(
    namespace: &Namespace,
    manifest: &Value,
) -> BTreeSet<(String, String)> {
    let Err(error) = namespace.try_dry_run(manifest).await else {
        return BTreeSet::new();
    };
    assert!(error.contains("validation.gatekeeper.sh"), "{error}");
    error
        .lines()
        .map(|line| refusal(line).unwrap_or_else(|| panic!("{error}")))
        .collect()
}

/// Such pairs, as [`refusals`] has them.
pub(super) fn pairs(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    pairs
        .iter()
        .map(|(kind, container)| (kind.to_lowercase(), (*container).to_owned()))
        .collect()
}

/// The constraint and the container of a line `[constraint] container NAME is refused`.
fn refusal(line: &str) -> Option<(String, String)> {
    let (constraint, rest) = line.split_once('[')?.1.split_once("] container ")?;
    let container = rest.split(' ').next()?;
    Some((constraint.to_owned(), container.to_owned()))
}

fn template(kind: &str, condition: &str) -> Value {
    let rego = format!(
        "package policy

import data.lib.containers

violation contains {{\"msg\": msg}} if {{
	some container in containers.checked
	{condition}
	msg := sprintf(\"container %v is refused\", [container.name])
}}
"
    );
    json!({
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": { "name": kind.to_lowercase() },
        "spec": {
            "crd": { "spec": {
                "names": { "kind": kind },
                "validation": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "exemptImages": { "type": "array", "items": { "type": "string" } } },
                } },
            } },
            "targets": [{
                "target": "admission.k8s.gatekeeper.sh",
                "code": [{
                    "engine": "Rego",
                    "source": { "version": "v1", "rego": rego, "libs": [include_str!("containers.rego")] },
                }],
            }],
        },
    })
}

fn constraint(kind: &str, namespace: &str, exempt: &[&str]) -> Value {
    json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": kind,
        "metadata": { "name": kind.to_lowercase() },
        "spec": {
            "match": {
                "kinds": [{ "apiGroups": [""], "kinds": ["Pod"] }],
                "namespaces": [namespace],
            },
            "parameters": { "exemptImages": exempt },
        },
    })
}
