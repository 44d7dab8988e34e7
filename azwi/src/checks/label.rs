//! The label on the pod template. Row 1: the most frequent cause, which no admission webhook can see, because
//! it is not asked about such pods.

use contract::label;

use super::Context;
use super::code::Code;
use super::finding::Finding;
use super::fix;
use super::workload::Subject;

/// A workload whose service account has a client id, and whose template lacks the label.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let account = subject.account(context.facts)?;
    let value = subject.template.use_label.as_deref();
    // "false" is a decision. A token of its own is the form without the webhook.
    if account.client_id().is_empty() || value == Some("false") || context.has_token(subject) {
        return None;
    }
    let place = if subject.is_pod() {
        "pod"
    } else {
        "pod template"
    };
    let elsewhere = match (value, subject.is_labelled, account.view.labelled) {
        (Some(value), _, _) => format!("has it with value {value:?}, and \"true\" is needed"),
        (None, true, _) => format!(
            "lacks it: the {} itself has it, where it has no effect",
            subject.object.kind
        ),
        (None, false, true) => {
            "lacks it: the service account has it, where it has no effect".to_owned()
        }
        (None, false, false) => "lacks it".to_owned(),
    };
    let cause = format!(
        "label {}: \"true\": the {place} {elsewhere}. Its service account {} has a client id",
        label::USE,
        subject.template.service_account
    );
    Some(Finding::new(
        Code::Label,
        &subject.object,
        &cause,
        Some(fix::add_label(&subject.object)),
    ))
}
