//! The chain of one workload.

use contract::annotation::SKIP_CONTAINERS;

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
    findings.extend(sdk(context, subject));
    findings
}

/// What the application's SDK has to be like. Only for a workload that was asked about, because most are right.
///
/// Without the proxy, one that does not know workload identity gets the node's identity. With it, one may read the
/// variables and not ask the proxy.
fn sdk(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let template = subject.template;
    let (code, cause) = if template.wants_proxy {
        (Code::PassesProxy, PASSES_PROXY)
    } else {
        (Code::OldSdk, OLD_SDK)
    };
    let is_settled = template.wants_proxy && template.annotations.contains_key(SKIP_CONTAINERS);
    let is_asked = context.facts.target.is_some();
    (is_asked && !is_settled).then(|| Finding::new(code, &subject.object, cause, None))
}

const OLD_SDK: &str = "the pods have no proxy: an SDK that does not know workload identity gets the node's identity, or none \
                       (docs/which-apps.md)";
const PASSES_PROXY: &str = "the containers have the proxy and the identity's variables: ManagedIdentityCredential of newer SDKs reads \
                            those and does not ask the proxy (docs/which-apps.md)";
