//! Whether NetworkPolicies leave the pods a way to Entra.

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::fix;
use super::subject::Subject;
use crate::facts::template::Template;

/// No policy that isolates the pods lets them out.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let port = port(context, subject.template)?;
    let policies = context.facts.policies.as_ref()?;
    let namespace = &subject.object.namespace;
    let isolating = policies.isolating(namespace, &subject.template.labels)?;
    if isolating.is_empty() || isolating.iter().any(|it| it.lets_out(port)) {
        return None;
    }
    let names: Vec<&str> = isolating.iter().map(|it| it.object.name.as_str()).collect();
    let (kind, verb) = match names.len() {
        1 => ("NetworkPolicy", "leaves"),
        _ => ("NetworkPolicies", "leave"),
    };
    let cause = format!(
        "{kind} {} {verb} the pods no way to Entra: no rule for egress allows TCP {port} of the internet",
        names.join(" and ")
    );
    let fix = fix::let_out(namespace, port);
    Some(Finding::new(
        Code::NoWayOut,
        &subject.object,
        &cause,
        Some(fix),
    ))
}

/// The port of Entra. `None` where the pods use another way: the node's network, an egress proxy, a token proxy.
fn port(context: &Context<'_>, template: &Template) -> Option<u16> {
    let installation = context.facts.installation.as_ref();
    let settings = installation.and_then(|it| it.settings.as_ref());
    let bindings = settings.and_then(|it| it.bindings.as_ref());
    let is_bound = bindings.is_some_and(|it| template.annotations.contains_key(&it.annotation));
    let mut of_sidecar = settings.iter().flat_map(|it| &it.sidecar.environment);
    let has_egress_proxy = if template.wants_proxy {
        of_sidecar.any(|(name, _)| *name == "HTTPS_PROXY")
    } else {
        template.may_have_egress_proxy
    };
    if template.is_on_host_network || is_bound || has_egress_proxy {
        return None;
    }
    let authority: Option<http::Uri> = settings.and_then(|it| it.authority_host.parse().ok());
    let port = authority.and_then(|it| it.port_u16());
    Some(port.unwrap_or(443))
}
