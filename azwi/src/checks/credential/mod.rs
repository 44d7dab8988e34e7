//! Federated credentials: which are needed, and, where Azure's are given, which of them match.

mod command;
mod comparison;
mod dangling;
mod slots;

use std::collections::BTreeSet;

use contract::value::is_guid;

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::subject::Subject;
use crate::azure::{FederatedCredential, Inventory};
use crate::facts::object::Object;
use crate::facts::{Facts, Gap};
pub(super) use command::create;
use comparison::Comparison;

/// What a federated credential has to have, to the letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: String,
    pub(super) audience: &'a str,
}

impl<'a> Wanted<'a> {
    /// Of a workload whose pods get tokens, `None` where the issuer is not known.
    fn of(context: &Context<'a>, subject: &Subject<'_>) -> Option<Self> {
        let installation = context.facts.installation.as_ref();
        let settings = installation.and_then(|it| it.settings.as_ref());
        let audience = settings.map_or(contract::token::DEFAULT_AUDIENCE, |it| &it.audience);
        Some(Self {
            issuer: &context.facts.issuer.as_ref()?.url,
            subject: format!(
                "system:serviceaccount:{}:{}",
                subject.object.namespace, subject.template.service_account
            ),
            audience,
        })
    }
}

/// The identities of a workload without a federated credential for it.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(azure), Some(wanted)) = (&context.facts.azure, Wanted::of(context, subject)) else {
        return Vec::new();
    };
    let object = account(subject);
    identities(context, subject)
        .into_iter()
        .filter_map(|client_id| {
            principal(azure, client_id, &object)
                .or_else(|| mismatch(azure, client_id, &wanted, &object))
        })
        .collect()
}

/// The client ids that the pods of a workload use, and that need a federated credential.
pub(super) fn identities<'a>(context: &Context<'a>, subject: &Subject<'a>) -> Vec<&'a str> {
    let template = subject.template;
    if !(template.is_labelled() || context.has_token(subject)) || is_bound(context, subject) {
        return Vec::new();
    }
    let own = template.client_ids.iter().map(String::as_str);
    let account = subject.account(context.facts).map(|it| it.client_id());
    let account = account.filter(|_| template.is_labelled() && template.client_ids.is_empty());
    let all: BTreeSet<&str> = own.chain(account).filter(|it| is_guid(it)).collect();
    all.into_iter().collect()
}

/// Whether the pods use identity bindings, for which AKS keeps the federated credentials.
fn is_bound(context: &Context<'_>, subject: &Subject<'_>) -> bool {
    let installation = context.facts.installation.as_ref();
    let settings = installation.and_then(|it| it.settings.as_ref());
    let bindings = settings.and_then(|it| it.bindings.as_ref());
    let annotations = &subject.template.annotations;
    bindings.is_some_and(|it| annotations.contains_key(&it.annotation))
}

/// A principal id where a client id belongs.
fn principal(azure: &Inventory, client_id: &str, object: &Object) -> Option<Finding> {
    if azure.identity(client_id).is_some() {
        return None;
    }
    let identity = azure.principal(client_id)?;
    Some(wrong_id(
        client_id,
        &identity.name,
        &identity.client_id,
        object,
    ))
}

/// The finding about a principal id where a client id belongs.
pub(super) fn wrong_id(id: &str, name: &str, client_id: &str, object: &Object) -> Finding {
    let cause = format!(
        "{id} is the principal id (object id) of identity {name}: the client id is {client_id}"
    );
    let fix = super::fix::annotate(object, Some(client_id));
    Finding::new(Code::PrincipalId, object, &cause, Some(fix))
}

fn mismatch(
    azure: &Inventory,
    client_id: &str,
    wanted: &Wanted<'_>,
    object: &Object,
) -> Option<Finding> {
    let own: Vec<&FederatedCredential> = azure.credentials_of(client_id).collect();
    let unowned = azure.credentials.iter().filter(|it| !azure.knows_owner(it));
    let candidates: Vec<&FederatedCredential> = own.iter().copied().chain(unowned).collect();
    let compare = |it: &&'_ FederatedCredential| Comparison::new(it, wanted);
    if candidates.iter().any(|it| compare(it).is_exact()) {
        return None;
    }
    let identity = azure.identity(client_id);
    let name = identity.map_or(client_id, |it| it.name.as_str());
    let near = candidates.iter().filter(|it| compare(it).is_near());
    if let Some(near) = near.min_by_key(|it| compare(it).differences().len()) {
        let differences = compare(near).differences().join("; ");
        let cause = format!(
            "federated credential {} of identity {name} is not that of the tokens: {differences}",
            near.name
        );
        let fix = command::update(near, identity, client_id, wanted);
        return Some(Finding::new(Code::NearMiss, object, &cause, Some(fix)));
    }
    if !is_listed(azure, client_id) {
        return None;
    }
    let other = own.iter().find(|it| it.subject == wanted.subject);
    let other = other.map_or_else(String::new, |it| {
        format!(
            ". Credential {} has the subject, with issuer {}: that of another cluster, or of this one before it was rebuilt",
            it.name, it.issuer
        )
    });
    let cause = format!(
        "identity {name} has no federated credential among those given with issuer {}, subject {} and audience {}{other}",
        wanted.issuer, wanted.subject, wanted.audience
    );
    let fix = create(identity, client_id, wanted);
    Some(Finding::new(Code::NoCredential, object, &cause, Some(fix)))
}

/// Whether the credentials of an identity are among those that were given. An identity without any is listed when
/// others are.
fn is_listed(azure: &Inventory, client_id: &str) -> bool {
    azure.identity(client_id).is_some() || azure.credentials_of(client_id).next().is_some()
}

/// Identities of workloads that the documents of Azure do not have.
pub(super) fn gaps(context: &Context<'_>, subjects: &[Subject<'_>]) -> Vec<Gap> {
    let Some(azure) = &context.facts.azure else {
        return Vec::new();
    };
    let has_match = |subject: &Subject<'_>| {
        let Some(wanted) = Wanted::of(context, subject) else {
            return false;
        };
        let unowned = azure.credentials.iter().filter(|it| !azure.knows_owner(it));
        let mut compared = unowned.map(|it| Comparison::new(it, &wanted));
        compared.any(|it| it.is_exact() || it.is_near())
    };
    let mut unknown = BTreeSet::new();
    for subject in subjects {
        let ids = identities(context, subject).into_iter();
        let ids = ids.filter(|it| !is_listed(azure, it) && azure.principal(it).is_none());
        unknown.extend(ids.filter(|_| !has_match(subject)));
    }
    let gaps = unknown.into_iter().map(|client_id| Gap {
        verb: "compare",
        resource: format!("federated credentials of identity {client_id}"),
        namespace: None,
        is_forbidden: false,
        reason:
            "the documents of --credentials do not name it: add those of az identity list, or give \
                 <client id>=<file>"
                .to_owned(),
    });
    gaps.collect()
}

/// Findings that no workload leads to.
pub(super) fn check_all(facts: &Facts) -> Vec<Finding> {
    let mut findings = slots::check(facts);
    findings.extend(dangling::check(facts));
    findings
}

fn account(subject: &Subject<'_>) -> Object {
    let namespace = &subject.object.namespace;
    Object::new(
        "ServiceAccount",
        namespace,
        &subject.template.service_account,
    )
}
