//! JSON for programs. Fields are added, never renamed or removed.

use serde::Serialize;
use serde_json::Value;
use webhook::inject::printable;

use super::super::plan::{Block, Identity, Move, Plan, Sureness};
use super::manifest;
use crate::document;
use crate::facts::Gap;
use crate::facts::object::Object;

/// The plan as JSON.
///
/// # Errors
///
/// Never in practice: every map key is a string.
pub fn write(plan: &Plan, gaps: &[Gap]) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string_pretty(&contents(plan, gaps))?;
    Ok(document::escaped(&text) + "\n")
}

fn contents<'a>(plan: &'a Plan, gaps: &'a [Gap]) -> Document<'a> {
    Document {
        issuer: plan.issuer.as_deref(),
        workloads: plan.moves.iter().map(Workload::from).collect(),
        left: plan
            .left
            .iter()
            .map(|it| Left {
                object: &it.object,
                reason: printable(&it.reason),
            })
            .collect(),
        service_accounts: plan.accounts.iter().flat_map(manifest::account).collect(),
        federated_credentials: plan
            .wanted
            .iter()
            .map(|it| Credential {
                client_id: &it.identity.client_id,
                resource_id: it.identity.resource_id.as_deref(),
                name: &it.name,
                issuer: &it.issuer,
                subject: &it.subject,
                audience: &it.audience,
            })
            .collect(),
        usage: plan
            .usage
            .iter()
            .map(|it| Usage {
                client_id: &it.identity.client_id,
                name: &it.identity.name,
                present: it.present,
                needed: it.needed,
            })
            .collect(),
        findings: plan
            .findings
            .iter()
            .map(|it| Finding {
                code: it.code.as_str(),
                cause: &it.cause,
                fix: it.fix.as_deref(),
            })
            .collect(),
        not_read: gaps
            .iter()
            .map(|it| NotRead {
                resource: &it.resource,
                namespace: it.namespace.as_deref(),
                is_forbidden: it.is_forbidden,
                reason: printable(&it.reason),
            })
            .collect(),
    }
}

impl<'a> From<&'a Move> for Workload<'a> {
    fn from(it: &'a Move) -> Self {
        let (namespace, name) = &it.account;
        Self {
            object: &it.workload.object,
            identities: it.identities.iter().map(Known::from).collect(),
            sureness: it.sureness,
            service_account: Object::new("ServiceAccount", namespace, name),
            is_moved: it.is_moved(),
            patch: (!it.is_moved()).then(|| it.change.forward(it.workload.form)),
            back: (!it.is_moved()).then(|| it.change.back(it.workload.form, &it.workload.template)),
            blocks: &it.blocks,
            notes: it.notes.iter().map(|it| printable(it)).collect(),
        }
    }
}

impl<'a> From<&'a Identity> for Known<'a> {
    fn from(it: &'a Identity) -> Self {
        Self {
            name: &it.name,
            client_id: &it.client_id,
            resource_id: it.resource_id.as_deref(),
            tenant_id: it.tenant_id.as_deref(),
            source: &it.source,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    issuer: Option<&'a str>,
    workloads: Vec<Workload<'a>>,
    left: Vec<Left<'a>>,
    service_accounts: Vec<Value>,
    federated_credentials: Vec<Credential<'a>>,
    usage: Vec<Usage<'a>>,
    findings: Vec<Finding<'a>>,
    not_read: Vec<NotRead<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Workload<'a> {
    object: &'a Object,
    identities: Vec<Known<'a>>,
    sureness: Sureness,
    service_account: Object,
    #[serde(rename = "moved")]
    is_moved: bool,
    patch: Option<Value>,
    back: Option<Value>,
    blocks: &'a [Block],
    notes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Known<'a> {
    name: &'a str,
    client_id: &'a str,
    resource_id: Option<&'a str>,
    tenant_id: Option<&'a str>,
    source: &'a Object,
}

#[derive(Serialize)]
struct Left<'a> {
    object: &'a Object,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Credential<'a> {
    client_id: &'a str,
    resource_id: Option<&'a str>,
    name: &'a str,
    issuer: &'a str,
    subject: &'a str,
    audience: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage<'a> {
    client_id: &'a str,
    name: &'a str,
    present: Option<usize>,
    needed: usize,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'a str,
    cause: &'a str,
    fix: Option<&'a str>,
}

#[derive(Serialize)]
struct NotRead<'a> {
    resource: &'a str,
    namespace: Option<&'a str>,
    #[serde(rename = "forbidden")]
    is_forbidden: bool,
    reason: String,
}
