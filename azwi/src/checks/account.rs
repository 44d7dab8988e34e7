//! Service accounts: existence, client id, tenant. Rows 2, 12 and 18.

use std::collections::BTreeMap;

use contract::annotation;
use contract::value::{Tenant, is_guid};

use super::Context;
use super::code::Code;
use super::finding::Finding;
use super::fix;
use super::workload::Subject;
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
        let fix = format!("kubectl -n {namespace} create serviceaccount {name}");
        return Some(Finding::new(Code::NoAccount, &object, &cause, Some(fix)));
    };
    no_client_id(context, subject, account, &object).or_else(|| malformed(account, &object))
}

fn no_client_id(
    context: &Context<'_>,
    subject: &Subject<'_>,
    account: &Account,
    object: &Object,
) -> Option<Finding> {
    if !account.client_id().is_empty()
        || account.view.too_long.is_some()
        || subject.template.names_identities
    {
        return None;
    }
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
    let elsewhere = elsewhere
        .into_iter()
        .find_map(|(value, place)| Some((value?, place)));
    let restart = fix::restart(&subject.object, subject.pods.iter().map(|it| &it.object));
    let fix = |value| format!("{} && {restart}", fix::annotate(object, value));
    Some(match elsewhere {
        Some((value, place)) => {
            let cause = format!(
                "annotation {} is on {place} instead of the service account",
                annotation::CLIENT_ID
            );
            Finding::new(Code::Misplaced, object, &cause, Some(fix(Some(value))))
        }
        None => {
            let cause = format!(
                "annotation {} is missing on the service account of {}",
                annotation::CLIENT_ID,
                subject.object
            );
            Finding::new(Code::NoClientId, object, &cause, Some(fix(None)))
        }
    })
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
    let fix = format!(
        "kubectl annotate --overwrite {} {key}={placeholder}",
        object.argument()
    );
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
    let is_known = facts.gaps.is_empty() && !facts.used_accounts.contains(key);
    is_known.then(|| {
        let cause = "no pod and no pod template names the service account, though it has a client id. Operators such as KEDA and External Secrets may use it";
        Finding::new(Code::Unused, &object, cause, None)
    })
}

const KIND: &str = "ServiceAccount";
