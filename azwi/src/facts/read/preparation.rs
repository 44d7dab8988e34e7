//! Reads what matters before the webhook is installed: the user's rights, and what the API server says to pods as the
//! webhook would change them.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::version::Info;
use serde::Deserialize;
use serde_json::{Value, json};
use webhook::inject::{self, Pod, Seed};

use super::dry_run;
use super::reader::Reader;
use crate::facts::Facts;
use crate::facts::dry_run::DryRun;
use crate::facts::preparation::{Preparation, Version};
use crate::facts::workload::Workload;

/// Reads it, after the workloads, for an API server of this version. Without `pods`, no pod is created as a dry run.
pub(super) async fn read(
    reader: &mut Reader,
    facts: &Facts,
    version: Option<&Info>,
    pods: bool,
) -> Preparation {
    Preparation {
        version: version.and_then(Version::of),
        missing: missing(reader).await,
        pods: if pods {
            dry_runs(reader, facts).await
        } else {
            Vec::new()
        },
    }
}

/// The rights that the chart's objects need and the user lacks.
async fn missing(reader: &mut Reader) -> Vec<String> {
    let mut missing = Vec::new();
    for (group, resource, is_namespaced) in CREATED {
        let namespace = is_namespaced.then_some(SYSTEM);
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": "create", "group": group, "resource": resource, "namespace": namespace,
            } },
        });
        let answer = reader.post(REVIEWS, review.to_string().into_bytes()).await;
        let review = answer.and_then(|it| Ok(serde_json::from_str::<Review>(&it)?));
        match review {
            Ok(review) if review.status.allowed => {}
            Ok(_) => {
                let dot = if group.is_empty() { "" } else { "." };
                let place = namespace.map_or_else(String::new, |it| format!(" in namespace {it}"));
                missing.push(format!("create {resource}{dot}{group}{place}"));
            }
            Err(error) => {
                let resource = "selfsubjectaccessreviews.authorization.k8s.io".to_owned();
                reader.miss("create", resource, None, &error);
                break;
            }
        }
    }
    missing
}

/// Creates a pod of every labelled workload as a dry run, changed as the webhook would change it.
async fn dry_runs(reader: &mut Reader, facts: &Facts) -> Vec<DryRun> {
    let mut found = Vec::new();
    let mut unknown = BTreeSet::new();
    let workloads = facts.workloads.iter();
    let workloads = workloads.filter(|it| dry_run::is_usable(facts, it));
    for workload in workloads.take(MAX_DRY_RUNS) {
        let namespace = &workload.object.namespace;
        let Some(pod) = injected(facts, workload).filter(|_| !unknown.contains(namespace)) else {
            continue;
        };
        match dry_run::create(reader, namespace, &pod).await {
            Ok(outcome) => found.push(DryRun {
                object: workload.object.clone(),
                outcome,
            }),
            Err(error) => {
                reader.miss("create", "pods".to_owned(), Some(namespace), &error);
                unknown.insert(namespace.clone());
            }
        }
    }
    found
}

/// The workload's pod with the webhook's patch. `None` when the webhook refuses it, which is found without a
/// cluster.
fn injected(facts: &Facts, workload: &Workload) -> Option<Value> {
    let mut value = dry_run::pod(workload)?;
    let text = value.to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).ok()?;
    let key = (
        workload.object.namespace.clone(),
        workload.template.service_account.clone(),
    );
    let account = facts.accounts.as_ref()?.get(&key)?;
    let settings = facts.installation.as_ref()?.settings.as_ref()?;
    let security = facts.pod_security(&workload.object.namespace);
    let injection = inject::inject(&pod, settings, &account.view, &Seed::UNUSED, security).ok()?;
    if let Some(patch) = injection.patch {
        let patch: json_patch::Patch = serde_json::from_slice(&patch).ok()?;
        json_patch::patch(&mut value, &patch).ok()?;
    }
    Some(value)
}

#[derive(Deserialize)]
struct Review {
    status: ReviewStatus,
}

#[derive(Deserialize)]
struct ReviewStatus {
    #[serde(default)]
    allowed: bool,
}

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// The namespace of the chart, as the documentation installs it.
const SYSTEM: &str = "azure-workload-identity-system";
/// Each is a request. More workloads than that have the same policies.
const MAX_DRY_RUNS: usize = 500;
/// What the chart creates with its default values: group, resource, whether it is in the chart's namespace.
const CREATED: [(&str, &str, bool); 13] = [
    ("", "namespaces", false),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        false,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        false,
    ),
    ("apps", "deployments", true),
    ("policy", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "rolebindings", true),
    ("", "configmaps", true),
    ("", "secrets", true),
    ("", "serviceaccounts", true),
    ("", "services", true),
];
