//! The label on the pod template: the most frequent cause, which no admission webhook can see, because
//! it is not asked about such pods.

use contract::label;

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::fix;
use super::subject::Subject;

/// A workload whose service account has a client id, and whose template lacks the label.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let account = subject.account(context.facts)?;
    let value = subject.template.use_label.as_deref();
    if account.is_assumed {
        return None;
    }
    // "false" is a decision. A token of its own is the form without the webhook.
    if account.client_id().is_empty() || value == Some("false") || context.has_token(subject) {
        return None;
    }
    if let Some(user) = other_user(context, subject) {
        let cause = format!(
            "the pod template lacks label {}: \"true\". That is right if {user} alone uses service account {}",
            label::USE,
            subject.template.service_account
        );
        return Some(Finding::new(
            Code::UsedElsewhere,
            &subject.object,
            &cause,
            None,
        ));
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

/// A CSI driver or an operator that gets tokens for the service account itself.
fn other_user(context: &Context<'_>, subject: &Subject<'_>) -> Option<String> {
    if subject.template.use_label.is_some() || subject.is_labelled {
        return None;
    }
    if subject.template.has_secrets_volume {
        return Some("the CSI driver of its volume".to_owned());
    }
    let key = (
        subject.object.namespace.clone(),
        subject.template.service_account.clone(),
    );
    let object = context.facts.operators.get(&key)?;
    Some(format!("External Secrets ({object})"))
}
