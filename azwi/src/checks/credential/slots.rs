//! The 20 federated credentials that an identity can have.

use std::collections::{BTreeMap, BTreeSet};

use contract::value::is_guid;

use crate::checks::code::Code;
use crate::checks::finding::Finding;
use crate::command::Command;
use crate::facts::Facts;
use crate::facts::object::Object;

/// Identities that more service accounts name than Entra allows, and those that have few places left.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = too_many(facts);
    findings.extend(few_left(facts));
    findings
}

fn too_many(facts: &Facts) -> Vec<Finding> {
    let mut accounts = BTreeMap::<&str, usize>::new();
    for account in facts.accounts.iter().flat_map(BTreeMap::values) {
        // The value of an annotation may be anything.
        if is_guid(account.client_id()) {
            *accounts.entry(account.client_id()).or_default() += 1;
        }
    }
    let too_many = accounts.into_iter().filter(|(_, count)| *count > MAX);
    too_many
        .map(|(client_id, count)| {
            let object = Object::new(KIND, "", client_id);
            let cause = format!(
                "{count} service accounts name one identity, which can have {MAX} federated credentials: give some of \
                 them another identity"
            );
            let fix = Command::new("az identity list --query")
                .in_double_quotes(&format!("[?clientId=='{client_id}']"))
                .text("--output table");
            Finding::new(Code::Slots, &object, &cause, Some(fix))
        })
        .collect()
}

fn few_left(facts: &Facts) -> Vec<Finding> {
    let Some(azure) = &facts.azure else {
        return Vec::new();
    };
    let identities = azure.identities.iter().filter_map(|identity| {
        // A document may be given twice.
        let names = azure.credentials_of(&identity.client_id);
        let names: BTreeSet<String> = names.map(|it| it.name.to_ascii_lowercase()).collect();
        let used = names.len();
        (used + FEW >= MAX).then(|| {
            let object = Object::new(KIND, "", &identity.name);
            let left = MAX.saturating_sub(used);
            let cause = format!(
                "the identity has {used} federated credentials of {MAX}: {left} are left. Write them one after the other, \
                 because Azure refuses parallel writes with 409"
            );
            Finding::new(Code::FewSlots, &object, &cause, None)
        })
    });
    identities.collect()
}

const KIND: &str = "Identity";
/// Federated credentials of an application or managed identity (azwi#373).
const MAX: usize = 20;
/// Places that are few.
const FEW: usize = 2;
