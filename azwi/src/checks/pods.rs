//! Running pods.

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::subject::Subject;
use super::{dry_run, fix};
use crate::facts::workload::Pod;

/// The first thing that the workload's pods lack.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    // The pods of a webhook that does not work follow from that.
    if !context.is_working {
        return None;
    }
    not_created(context, subject)
        .or_else(|| {
            let pods = lacking(subject, |it| !context.pod_has_token(it))?;
            let cause = "the service account token is missing: made before the webhook, or while it was away";
            Some(finding(Code::NoToken, subject, &pods, cause))
        })
        .or_else(|| {
            let pods = lacking(subject, |it| it.template.wants_proxy && !it.template.has_proxy)?;
            let cause = "the proxy is missing, though annotation inject-proxy-sidecar asks for it";
            Some(finding(Code::NoProxy, subject, &pods, cause))
        })
        .or_else(|| stale(context, subject))
}

/// By the dry run, or by the workload's status. The status stays for some minutes after its reason has gone.
fn not_created(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    if let Some(found) = dry_run::check(context, subject) {
        return Some(found);
    }
    let message = subject.failure?;
    // What does not depend on who makes the pod is over once a dry run succeeds.
    let mut same_for_all = SAME_FOR_ALL.iter().filter(|it| message.contains(**it));
    if same_for_all.next().is_some() && dry_run::is_admitted(context.facts, subject) {
        return None;
    }
    Some(dry_run::not_created(subject, message))
}

/// The service account names another client id than when the pods were made (azwi#109).
fn stale(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let current = subject.account(context.facts)?.client_id();
    if current.is_empty() || subject.is_pod() {
        return None;
    }
    let pods = lacking(subject, |pod| {
        let own = &subject.template.client_ids;
        let mut injected = pod
            .template
            .client_ids
            .iter()
            .filter(|it| !own.contains(it))
            .peekable();
        injected.peek().is_some() && injected.all(|it| it != current)
    })?;
    let cause = format!(
        "the pods have another client id than their service account {} now: it changed after they were made",
        subject.template.service_account
    );
    Some(finding(Code::Stale, subject, &pods, &cause))
}

fn lacking<'a>(subject: &Subject<'a>, lacks: impl Fn(&Pod) -> bool) -> Option<Vec<&'a Pod>> {
    let labelled = subject.pods.iter().filter(|it| it.template.is_labelled());
    let pods: Vec<&Pod> = labelled.copied().filter(|it| lacks(it)).collect();
    (!pods.is_empty()).then_some(pods)
}

fn finding(code: Code, subject: &Subject<'_>, pods: &[&Pod], cause: &str) -> Finding {
    let cause = match (subject.is_pod(), pods) {
        (true, _) => cause.to_owned(),
        (false, [one]) => format!("{cause} (pod {})", one.object.name),
        (false, [first, ..]) => format!(
            "{cause} ({} of {} pods, such as {})",
            pods.len(),
            subject.pods.len(),
            first.object.name
        ),
        (false, []) => cause.to_owned(),
    };
    let fix = fix::restart(&subject.object, pods.iter().map(|it| &it.object));
    Finding::new(code, &subject.object, &cause, Some(fix))
}

/// Parts of refusals that do not depend on who makes the pod.
const SAME_FOR_ALL: [&str; 3] = [
    "failed calling webhook",
    "violates PodSecurity",
    "exceeded quota",
];
