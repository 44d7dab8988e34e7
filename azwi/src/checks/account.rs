//! Service accounts: existence, client id, tenant.

use std::collections::BTreeMap;

use contract::annotation;
use contract::value::{Tenant, is_guid};

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::fix;
use super::subject::Subject;
use crate::command::Command;
use crate::facts::Facts;
use crate::facts::account::Account;
use crate::facts::object::Object;

/// The first mistake of a workload's service account.
pub(super) fn check(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    let accounts = context.facts.accounts.as_ref()?;
    let (namespace, name) = (&subject.object.namespace, &subject.template.service_account);
    let object = Object::new(KIND, namespace, name);
    let Some(account) = accounts.get(&(namespace.clone(), name.clone())) else {
        let cause = format!(
            "the service account of {} does not exist: its pods are not created",
            subject.object
        );
        let create = Command::new("kubectl -n")
            .arg(namespace)
            .text("create serviceaccount")
            .operand(name);
        let fix = if subject.template.names_identities {
            create
        } else {
            create.and(&fix::annotate(&object, None))
        };
        return Some(Finding::new(Code::NoAccount, &object, &cause, Some(fix)));
    };
    let lacks_client_id = account.client_id().is_empty()
        && account.view.too_long.is_none()
        && !subject.template.names_identities;
    if lacks_client_id {
        return misplaced(context, subject, &object)
            .or_else(|| other_account(context, subject))
            .or_else(|| Some(no_client_id(subject, &object)));
    }
    malformed(account, &object)
}

/// The client id is on an object where it has no effect.
fn misplaced(context: &Context<'_>, subject: &Subject<'_>, object: &Object) -> Option<Finding> {
    let namespace = context.facts.namespace(&object.namespace);
    let elsewhere = [
        (subject.client_id, subject.object.to_string()),
        (
            subject.template.client_id.as_deref(),
            format!("the pod template of {}", subject.object),
        ),
        (
            namespace.and_then(|it| it.client_id.as_deref()),
            format!("Namespace {}", object.namespace),
        ),
    ];
    let (value, place) = elsewhere
        .into_iter()
        .find_map(|(value, place)| Some((value?, place)))?;
    let cause = format!(
        "annotation {} is on {place} instead of the service account",
        annotation::CLIENT_ID
    );
    let fix = if subject.client_id.is_none() && subject.template.client_id.is_some() {
        // The webhook warns of it there. Its removal makes new pods.
        let annotate = fix::annotate(object, Some(value));
        annotate.and(&fix::remove_client_id(&subject.object))
    } else {
        annotate(subject, object, Some(value))
    };
    Some(Finding::new(Code::Misplaced, object, &cause, Some(fix)))
}

/// The pods have the default service account, and one account of the namespace that nothing uses has a client id.
fn other_account(context: &Context<'_>, subject: &Subject<'_>) -> Option<Finding> {
    if subject.template.service_account != "default" {
        return None;
    }
    let namespace = &subject.object.namespace;
    let accounts = context.facts.accounts.as_ref()?.iter();
    let mut idle = accounts.filter(|(key, account)| {
        key.0 == *namespace
            && !account.client_id().is_empty()
            && !context.facts.used_accounts.contains(*key)
    });
    let ((_, name), _) = idle.next()?;
    if idle.next().is_some() {
        return None;
    }
    let cause = format!(
        "the pods name no service account and get default, which has no client id. Nothing uses {name}, which has one"
    );
    let fix = fix::set_account(&subject.object, name);
    Some(Finding::new(
        Code::OtherAccount,
        &subject.object,
        &cause,
        Some(fix),
    ))
}

fn no_client_id(subject: &Subject<'_>, object: &Object) -> Finding {
    let cause = format!(
        "annotation {} is missing on the service account of {}",
        annotation::CLIENT_ID,
        subject.object
    );
    let fix = annotate(subject, object, None);
    Finding::new(Code::NoClientId, object, &cause, Some(fix))
}

/// Gives the account a client id, and makes new pods of the workload where it has some.
fn annotate(subject: &Subject<'_>, object: &Object, value: Option<&str>) -> Command {
    let annotate = fix::annotate(object, value);
    if subject.pods.is_empty() {
        return annotate;
    }
    let pods = subject.pods.iter().map(|it| &it.object);
    annotate.and(&fix::restart(&subject.object, pods))
}

fn malformed(account: &Account, object: &Object) -> Option<Finding> {
    let client_id = account.client_id();
    let tenant = &*account.view.tenant_id;
    let (key, value, wanted) = if !client_id.is_empty() && !is_guid(client_id) {
        let wanted =
            "a client id (a GUID), not a resource id, an object's name or an empty placeholder";
        (annotation::CLIENT_ID, client_id, wanted)
    } else if !tenant.is_empty() && tenant.parse::<Tenant>().is_err() {
        (
            annotation::TENANT_ID,
            tenant,
            "a tenant (a GUID or a domain)",
        )
    } else {
        return None;
    };
    let placeholder = if key == annotation::CLIENT_ID {
        "<client id>"
    } else {
        "<tenant id>"
    };
    let cause = format!("annotation {key} is {value:?}: it has to be {wanted}");
    let fix = fix::annotate_with(object, key, placeholder);
    Some(Finding::new(Code::Malformed, object, &cause, Some(fix)))
}

/// Findings about accounts that no workload leads to.
pub(super) fn check_all(facts: &Facts) -> Vec<Finding> {
    let none = BTreeMap::new();
    let accounts = facts.accounts.as_ref().unwrap_or(&none);
    let with_client_id = accounts.iter().filter(|(_, it)| !it.client_id().is_empty());
    with_client_id
        .filter_map(|(key, _)| information(facts, key))
        .collect()
}

fn information(facts: &Facts, key: &(String, String)) -> Option<Finding> {
    let (namespace, name) = key;
    let object = Object::new(KIND, namespace, name);
    if name == "default" {
        let cause = format!(
            "the default service account has a client id: every labelled pod of {namespace} that names no other gets the identity"
        );
        return Some(Finding::new(Code::DefaultAccount, &object, &cause, None));
    }
    // Where something could not be read, that may use it.
    let is_used = facts.used_accounts.contains(key) || facts.operators.contains_key(key);
    let is_known = facts.gaps.is_empty() && !is_used;
    is_known.then(|| {
        let cause = "no pod and no pod template names the service account, though it has a client id. Operators such as KEDA and External Secrets may use it";
        Finding::new(Code::Unused, &object, cause, None)
    })
}

const KIND: &str = "ServiceAccount";
