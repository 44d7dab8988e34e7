//! What the webhook would do with a workload's pods, by its own code.

use webhook::inject::{self, Account, Pod, PodSecurity, Prepared, Seed};

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::fix;
use super::subject::Subject;

/// The webhook's refusal, or its warnings.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Vec<Finding> {
    let installation = context.facts.installation.as_ref();
    let settings = installation.and_then(|it| it.settings.as_ref());
    let account = subject.account(context.facts);
    let (Some(settings), Some(account), Some(json)) = (settings, account, &subject.template.json)
    else {
        return Vec::new();
    };
    let finding = |code, cause: &str| {
        Finding::new(
            code,
            &subject.object,
            cause,
            Some(fix::edit(&subject.object)),
        )
    };
    let security = context.facts.pod_security(&subject.object.namespace);
    match decide(json, &account.view, settings, security) {
        Some(Err(denial)) => vec![finding(
            Code::Denied,
            &format!("the webhook refuses the pods: {denial}"),
        )],
        Some(Ok(warnings)) => warnings
            .iter()
            .map(|it| finding(Code::Warned, it))
            .collect(),
        None => Vec::new(),
    }
}

/// The webhook's warnings, or its denial. `None` when the template is no pod.
fn decide(
    json: &str,
    account: &Account,
    settings: &Prepared,
    security: PodSecurity,
) -> Option<Result<Vec<String>, String>> {
    let pod: Pod<'_> = serde_json::from_str(json).ok()?;
    if let Some(key) = account.too_long {
        let denial = inject::Denial::long_value(pod.service_account(), key);
        return Some(Err(denial.to_string()));
    }
    let injection = inject::inject(&pod, settings, account, &Seed::UNUSED, security);
    Some(injection.map(|it| it.warnings).map_err(|it| it.to_string()))
}
