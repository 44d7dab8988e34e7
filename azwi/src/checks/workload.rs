//! The chain of one workload.

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::subject::Subject;
use super::{account, injection, label, namespace, network, pods, token_mount};

/// The first broken link, or every warning where none is broken.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Vec<Finding> {
    if !subject.template.is_labelled() {
        return label::check(context, subject).into_iter().collect();
    }
    if let Some(broken) =
        namespace::check(context, subject).or_else(|| account::check(context, subject))
    {
        return vec![broken];
    }
    let mut findings = injection::check(context, subject);
    if findings.iter().any(|it| it.code == Code::Denied) {
        return findings;
    }
    findings.extend(pods::check(context, subject));
    findings.extend(token_mount::check(subject));
    findings.extend(network::check(context, subject));
    findings.extend(old_sdk(context, subject));
    findings
}

/// The proxy is not there: an SDK that does not know workload identity gets the node's identity. Only for
/// a workload that was asked about, because most need no proxy.
fn old_sdk(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    if context.facts.target.is_none() || subject.template.wants_proxy {
        return None;
    }
    let cause = "the pods have no proxy: an SDK that does not know workload identity gets the node's identity, or none \
                 (docs/which-apps.md)";
    Some(Finding::new(Code::OldSdk, &subject.object, cause, None))
}
