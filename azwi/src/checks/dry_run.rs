//! What the API server does with a new pod of a workload: its error text is the cause.

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::fix;
use super::subject::Subject;
use crate::command::Command;
use crate::facts::Facts;
use crate::facts::dry_run::{DryRun, Outcome};
use crate::facts::installation::{Configuration, Installation};
use crate::facts::object::Object;

/// The API server cannot call the webhook.
pub(super) fn check_installation(facts: &Facts) -> Option<Finding> {
    let installation = facts.installation.as_ref()?;
    let message = match &facts.dry_run {
        Some(it) => match &it.outcome {
            Outcome::Refused(message) => Some(message.as_str()),
            Outcome::Admitted(_) => None,
        },
        // Without a dry run, the reason of a workload whose pods cannot be created.
        None => facts.workloads.iter().find_map(|it| {
            let message = it.failure.as_deref()?;
            called(installation, message).map(|_| message)
        }),
    }?;
    let configuration = called(installation, message)?;
    let object = Object::new("MutatingWebhookConfiguration", "", &configuration.name);
    if message.contains("x509") || message.contains("certificate") {
        let writers = match &configuration.bundle_managers[..] {
            [] => String::new(),
            managers => format!(". caBundle was written by {}", managers.join(" and ")),
        };
        let cause =
            format!("the API server does not trust the webhook's certificate: {message}{writers}");
        let restart = installation.deployment.as_ref();
        let restart = restart.map(|it| fix::restart(&it.object, []));
        return Some(Finding::new(Code::Bundle, &object, &cause, restart));
    }
    let is_network = ["deadline exceeded", "i/o timeout", "no route to host"];
    let hint = if is_network.iter().any(|it| message.contains(it)) {
        ". Open the webhook's port to the API server: private GKE clusters allow 443 and 10250 alone (docs/egress.md)"
    } else {
        ""
    };
    let cause = format!("the API server cannot call the webhook: {message}{hint}");
    Some(Finding::new(
        Code::NotCalled,
        &object,
        &cause,
        Some(Command::new(fix::RESTORE)),
    ))
}

/// A new pod of this workload is refused, or gets no token.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let dry_run = of(context.facts, subject)?;
    match &dry_run.outcome {
        Outcome::Refused(message) if subject.failure.is_some() => {
            Some(not_created(subject, message))
        }
        // A full quota is no fault of a workload that has its pods.
        Outcome::Refused(_) if context.facts.target.is_none() && !subject.pods.is_empty() => None,
        Outcome::Refused(message) => Some(would_be_refused(subject, message)),
        Outcome::Admitted(template) => {
            let mut audiences = context.audiences().into_iter();
            if audiences.any(|it| template.has_token_for(it)) {
                return None;
            }
            let configurations = &context.facts.installation.as_ref()?.configurations;
            let name = &configurations.first()?.name;
            let cause = "the API server admits a new pod without its token: the webhook is not called, or does not answer \
                         under failurePolicy Ignore";
            let fix = Command::new("kubectl get mutatingwebhookconfiguration")
                .operand(name)
                .text("-o yaml");
            Some(Finding::new(
                Code::NotInjected,
                &subject.object,
                cause,
                Some(fix),
            ))
        }
    }
}

/// The finding about pods that the API server refuses with this message.
pub(super) fn not_created(subject: &Subject<'_>, message: &str) -> Finding {
    let cause = format!("pods cannot be created: {message}");
    let fix = fix_of_refusal(subject, message);
    Finding::new(Code::NotCreated, &subject.object, &cause, Some(fix))
}

/// The finding about a pod that the API server would refuse with this message.
pub(super) fn would_be_refused(subject: &Subject<'_>, message: &str) -> Finding {
    let cause = format!("a new pod would be refused: {message}");
    let fix = fix_of_refusal(subject, message);
    Finding::new(Code::WouldBeRefused, &subject.object, &cause, Some(fix))
}

fn fix_of_refusal(subject: &Subject<'_>, message: &str) -> Command {
    let is_about_redirect =
        message.contains("violates PodSecurity") && message.contains("NET_ADMIN");
    if is_about_redirect && subject.template.wants_proxy {
        fix::set_environment_mode(&subject.object)
    } else {
        fix::failed_events(&subject.object.namespace)
    }
}

/// Whether the API server was seen to admit new pods of this workload.
pub(super) fn is_admitted(facts: &Facts, subject: &Subject<'_>) -> bool {
    of(facts, subject).is_some_and(|it| matches!(it.outcome, Outcome::Admitted(_)))
}

fn of<'a>(facts: &'a Facts, subject: &Subject<'_>) -> Option<&'a DryRun> {
    facts
        .dry_run
        .as_ref()
        .filter(|it| it.object == subject.object)
}

/// The configuration whose webhook the API server failed to call, by its message.
fn called<'a>(installation: &'a Installation, message: &str) -> Option<&'a Configuration> {
    let (_, rest) = message.split_once("failed calling webhook \"")?;
    let (name, _) = rest.split_once('"')?;
    let mut configurations = installation.configurations.iter();
    configurations.find(|it| it.webhooks.iter().any(|it| it.name == name))
}
