//! JSON for programs. Fields are added, never renamed or removed.

use serde::Serialize;
use webhook::inject::printable;

use super::Report;
use crate::document;
use crate::facts::object::Object;

/// The report as JSON.
///
/// # Errors
///
/// Never in practice: every map key is a string.
pub fn write(report: &Report) -> Result<String, serde_json::Error> {
    let findings = report.findings.iter().map(|it| Finding {
        code: it.code.as_str(),
        category: it.code.category(),
        severity: it.code.severity().as_str(),
        cause: &it.cause,
        object: &it.object,
        fix: it.fix.as_deref(),
        page: it.code.page(),
        file: it.place.as_ref().map(|it| it.file.as_str()),
        line: it.place.as_ref().map(|it| it.line),
    });
    let not_checked = report.gaps.iter().map(|it| NotChecked {
        verb: it.verb,
        resource: &it.resource,
        namespace: it.namespace.as_deref(),
        is_forbidden: it.is_forbidden,
        reason: printable(&it.reason),
    });
    let text = serde_json::to_string_pretty(&Document {
        findings: findings.collect(),
        not_checked: not_checked.collect(),
        checked: Checked {
            workloads: report.checked.workloads,
            pods: report.checked.pods,
            service_accounts: report.checked.accounts,
        },
    })?;
    Ok(document::escaped(&text))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    findings: Vec<Finding<'a>>,
    not_checked: Vec<NotChecked<'a>>,
    checked: Checked,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'static str,
    category: char,
    severity: &'static str,
    cause: &'a str,
    object: &'a Object,
    fix: Option<&'a str>,
    page: String,
    /// Of the object, for manifests.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotChecked<'a> {
    verb: &'static str,
    resource: &'a str,
    namespace: Option<&'a str>,
    #[serde(rename = "forbidden")]
    is_forbidden: bool,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    workloads: usize,
    pods: usize,
    service_accounts: usize,
}
