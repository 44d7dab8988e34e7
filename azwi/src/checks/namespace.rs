//! The namespaces in which the webhook acts, by its selectors as they are stored: AKS's admissions enforcer
//! adds its own (azwi#525).

use contract::label;

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::subject::Subject;
use crate::command::Command;
use crate::facts::installation::{Configuration, Webhook};
use crate::facts::selector::Requirement;

/// A workload in a namespace that no webhook selects.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let namespace = &subject.object.namespace;
    let labels = &context.facts.namespace(namespace)?.labels;
    let configurations = &context.facts.installation.as_ref()?.configurations;
    let failing = |it: &Webhook| it.namespace_selector.failing(labels);
    let webhooks = configurations.iter().flat_map(|it| &it.webhooks);
    // Every webhook has to leave the namespace out. The one to name is not that for restricted namespaces.
    let requirements: Vec<_> = webhooks
        .map(|it| {
            (
                it.namespace_selector.names(label::POD_SECURITY_ENFORCE),
                failing(it),
            )
        })
        .collect();
    if requirements.iter().any(|(_, it)| it.is_none()) {
        return None;
    }
    let (_, first) = requirements
        .into_iter()
        .min_by_key(|(is_restricted, _)| *is_restricted)?;
    let first = first?;
    let configuration = configurations.first()?;
    let cause = format!(
        "the webhook does not act in namespace {namespace}: its namespaceSelector wants {}. {}",
        sentence(&first),
        if is_fixed(&first.key) { SYSTEM } else { OWN }
    );
    let fix = fix(configuration, &first, namespace);
    Some(Finding::new(
        Code::Namespace,
        &subject.object,
        &cause,
        Some(fix),
    ))
}

fn sentence(requirement: &Requirement) -> String {
    let Requirement {
        key,
        operator,
        values,
    } = requirement;
    match operator.as_str() {
        "In" => format!("label {key} to be {}", values.join(" or ")),
        "NotIn" => format!("label {key} not to be {}", values.join(" or ")),
        "Exists" => format!("label {key}"),
        _ => format!("no label {key}"),
    }
}

fn fix(configuration: &Configuration, requirement: &Requirement, namespace: &str) -> Command {
    let Requirement {
        key,
        operator,
        values,
    } = requirement;
    let value = values.first();
    let label = Command::new("kubectl label namespace").operand(namespace);
    match (operator.as_str(), value) {
        _ if key == "control-plane" || key.starts_with("kubernetes.azure.com/") => {
            Command::new("kubectl annotate mutatingwebhookconfiguration")
                .operand(&configuration.name)
                .text("admissions.enforcer/disabled=true")
        }
        _ if is_fixed(key) => {
            Command::new("kubectl edit mutatingwebhookconfiguration").operand(&configuration.name)
        }
        ("In", Some(value)) => Command::new("kubectl label --overwrite namespace")
            .operand(namespace)
            .operand(&format!("{key}={value}")),
        ("Exists", _) => label.operand(&format!("{key}=true")),
        _ => label.operand(&format!("{key}-")),
    }
}

/// Labels that Kubernetes or AKS owns are not for users to change.
fn is_fixed(key: &str) -> bool {
    key.starts_with("kubernetes.io/")
        || key == "control-plane"
        || key.starts_with("kubernetes.azure.com/")
}

const SYSTEM: &str = "System namespaces are left out so that the cluster starts without the webhook: move the workload to \
                      another namespace, rather than change the selector for all of them";
const OWN: &str = "The label may be there on purpose: it decides for every pod of the namespace";
