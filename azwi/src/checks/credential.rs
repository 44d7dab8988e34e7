//! Federated credentials, as far as the cluster shows which are needed. Row 16.

use std::collections::BTreeMap;

use super::code::Code;
use super::finding::Finding;
use crate::facts::Facts;
use crate::facts::object::Object;

/// Identities that more service accounts name than Entra allows.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut accounts = BTreeMap::<&str, usize>::new();
    for account in facts.accounts.iter().flat_map(BTreeMap::values) {
        *accounts.entry(account.client_id()).or_default() += 1;
    }
    let too_many = accounts
        .into_iter()
        .filter(|(id, count)| !id.is_empty() && *count > MAX);
    too_many
        .map(|(client_id, count)| {
            let object = Object::new("Identity", "", client_id);
            let cause = format!(
                "{count} service accounts name one identity, which can have {MAX} federated credentials: give some of \
                 them another identity"
            );
            let fix = format!("az identity list --query \"[?clientId=='{client_id}']\" --output table");
            Finding::new(Code::Slots, &object, &cause, Some(fix))
        })
        .collect()
}

/// Federated credentials of an application or managed identity (azwi#373).
const MAX: usize = 20;
