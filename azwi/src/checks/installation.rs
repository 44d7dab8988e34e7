//! The webhook: configuration, Service, endpoints, certificate.

use super::code::Code;
use super::finding::Finding;
use super::{dry_run, fix};
use crate::command::Command;
use crate::facts::Facts;
use crate::facts::installation::{
    Bundle, Configuration, Deployment, Endpoints, Installation, Webhook,
};
use crate::facts::object::Object;

/// The findings about the installation.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(installation) = &facts.installation else {
        return Vec::new();
    };
    let Some(first) = installation.configurations.first() else {
        let object = Object::new(KIND, "", NAME);
        let cause = "no webhook is called for pods with the label azure.workload.identity/use: they start \
                     without token and identity";
        return vec![Finding::new(
            Code::NoWebhook,
            &object,
            cause,
            Some(Command::new(fix::INSTALL)),
        )];
    };
    let mut findings: Vec<Finding> = installation
        .configurations
        .iter()
        .filter_map(|it| broken(it, installation))
        .collect();
    if findings.is_empty() {
        findings.extend(dry_run::check_installation(facts));
    }
    findings.extend(second(installation));
    findings.extend(policy(first));
    findings.extend(installation.deployment.as_ref().and_then(version));
    findings
}

/// The first broken link from a configuration to the webhook.
fn broken(configuration: &Configuration, installation: &Installation) -> Option<Finding> {
    let webhooks = &configuration.webhooks;
    let object = Object::new(KIND, "", &configuration.name);
    let deployment = installation.deployment.as_ref();
    webhooks
        .iter()
        .find_map(|it| no_service(it).or_else(|| no_endpoint(it, deployment)))
        .or_else(|| {
            let cause = webhooks.iter().find_map(|it| bundle(&it.bundle))?;
            let cause = match &configuration.bundle_managers[..] {
                [] => cause.to_owned(),
                managers => format!("{cause}. It was written by {}", managers.join(" and ")),
            };
            let restart = deployment.map(|it| fix::restart(&it.object, []));
            Some(Finding::new(
                Code::Bundle,
                &object,
                &cause,
                restart.or_else(|| Some(fix::edit(&object))),
            ))
        })
}

fn no_service(webhook: &Webhook) -> Option<Finding> {
    let service = webhook.service.as_ref()?;
    if service.state != Endpoints::NoService {
        return None;
    }
    let cause = "the Service that the webhook's configuration calls does not exist: labelled pods are refused, or \
                 start without identity";
    Some(Finding::new(
        Code::NoService,
        &service.object,
        cause,
        Some(Command::new(fix::INSTALL)),
    ))
}

fn no_endpoint(webhook: &Webhook, deployment: Option<&Deployment>) -> Option<Finding> {
    let service = webhook.service.as_ref()?;
    if service.state != Endpoints::Ready(0) {
        return None;
    }
    let effect = if webhook.ignores_failures {
        "labelled pods start without identity"
    } else {
        "labelled pods are refused"
    };
    let (cause, fix) = match deployment {
        Some(it) if it.replicas == 0 => (
            format!("the webhook is scaled to zero: {effect}"),
            it.object
                .named_in(Command::new("kubectl scale"))
                .text("--replicas 2"),
        ),
        Some(it) => (
            format!("no replica of the webhook is ready: {effect}"),
            Command::new("kubectl -n")
                .arg(&it.object.namespace)
                .text("describe pods"),
        ),
        None => (
            format!("the webhook's Service selects no pod: {effect}"),
            Command::new(fix::INSTALL),
        ),
    };
    Some(Finding::new(
        Code::NoEndpoint,
        &service.object,
        &cause,
        Some(fix),
    ))
}

fn bundle(bundle: &Bundle) -> Option<&'static str> {
    match bundle {
        Bundle::Valid => None,
        Bundle::Empty => {
            Some("caBundle is empty: the API server cannot verify the webhook's certificate")
        }
        Bundle::Unreadable => Some(
            "caBundle has no certificate that can be read: the API server cannot verify the webhook's",
        ),
        Bundle::Expired => Some(
            "no certificate in caBundle is valid now: the API server cannot verify the webhook's",
        ),
    }
}

/// Two installations, such as the AKS add-on and a chart (azwi#777).
fn second(installation: &Installation) -> Option<Finding> {
    let configurations = &installation.configurations;
    let other = configurations.iter().find(|it| it.name != NAME);
    let other = other.filter(|_| configurations.len() > 1)?;
    let names: Vec<&str> = configurations.iter().map(|it| it.name.as_str()).collect();
    let cause = format!(
        "{} configurations select the label, so pods are changed twice: {}",
        names.len(),
        names.join(", ")
    );
    Some(remove(other, &cause))
}

/// Another installation, which would stay beside this one.
pub(super) fn second_to_be(installation: &Installation) -> Option<Finding> {
    let mut configurations = installation.configurations.iter();
    let other = configurations.find(|it| it.name != NAME)?;
    let cause = format!(
        "{} selects the label already: with a second installation pods are changed twice",
        other.name
    );
    Some(remove(other, &cause))
}

/// The finding that one of two installations has to go.
fn remove(other: &Configuration, cause: &str) -> Finding {
    let object = Object::new(KIND, "", &other.name);
    let fix = Command::new("kubectl delete mutatingwebhookconfiguration").operand(&other.name);
    Finding::new(Code::SecondWebhook, &object, cause, Some(fix))
}

fn policy(configuration: &Configuration) -> Option<Finding> {
    // One with Fail is called for every pod that another with Ignore is called for.
    if !configuration.webhooks.iter().all(|it| it.ignores_failures) {
        return None;
    }
    let object = Object::new(KIND, "", &configuration.name);
    let cause = "failurePolicy is Ignore: while the webhook cannot be reached, labelled pods start without identity";
    Some(Finding::new(Code::FailurePolicy, &object, cause, None))
}

fn version(deployment: &Deployment) -> Option<Finding> {
    let (tag, chart) = (
        deployment.image_tag.as_ref()?,
        deployment.chart_version.as_ref()?,
    );
    if tag.trim_start_matches('v') == chart.trim_start_matches('v') {
        return None;
    }
    let cause = format!("the image has tag {tag}, the chart is of version {chart}");
    Some(Finding::new(
        Code::Version,
        &deployment.object,
        &cause,
        None,
    ))
}

const KIND: &str = "MutatingWebhookConfiguration";
/// The chart's name of it, and upstream's.
const NAME: &str = "azure-wi-webhook-mutating-webhook-configuration";
