//! Federated credentials for service accounts of this cluster that do not exist. Who may create the account gets
//! the identity, and each takes one of 20 places.

use super::command;
use crate::azure::{FederatedCredential, Inventory};
use crate::checks::code::Code;
use crate::checks::finding::Finding;
use crate::facts::Facts;
use crate::facts::object::Object;

/// Every such credential.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let (Some(azure), Some(issuer)) = (&facts.azure, &facts.issuer) else {
        return Vec::new();
    };
    let of_cluster = azure
        .credentials
        .iter()
        .filter(|it| it.issuer == issuer.url);
    of_cluster
        .filter_map(|it| dangling(facts, azure, it))
        .collect()
}

fn dangling(facts: &Facts, azure: &Inventory, credential: &FederatedCredential) -> Option<Finding> {
    let accounts = facts.accounts.as_ref()?;
    let account = credential.subject.strip_prefix("system:serviceaccount:")?;
    let (namespace, name) = account.split_once(':')?;
    let is_read = facts.scope.as_deref().is_none_or(|it| it == namespace);
    // One that differs by its letter case is meant for an account that exists.
    let exists = accounts.keys().any(|(has_namespace, has_name)| {
        has_namespace.eq_ignore_ascii_case(namespace) && has_name.eq_ignore_ascii_case(name)
    });
    if exists || !is_read {
        return None;
    }
    let object = Object::new("FederatedCredential", "", &credential.name);
    let cause = format!(
        "the service account {namespace}/{name} of the federated credential does not exist: anyone \
         who may create it gets the identity"
    );
    let fix = command::delete(credential, azure);
    Some(Finding::new(Code::Dangling, &object, &cause, Some(fix)))
}
