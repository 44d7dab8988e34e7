//! The token of one workload.

use super::code::Code;
use super::credential::{self, Wanted};
use super::finding::Finding;
use super::finding::is_error;
use super::{exchange, issuer};
use crate::facts::Facts;
use crate::facts::object::Object;
use crate::facts::token::Token;

/// The first thing that is wrong with the token or its exchange, or the federated credential that it needs.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let (Some(token), Some(target)) = (&facts.token, &facts.target) else {
        return Vec::new();
    };
    let of_issuer = facts
        .issuer
        .as_ref()
        .map(|it| issuer::check(it, Some(token)));
    if let Some(broken) = of_issuer.into_iter().flatten().find(is_error) {
        return vec![broken];
    }
    if let Some(exchanged) = exchange::check(facts) {
        return vec![exchanged];
    }
    // Where Azure's credentials are given, the one that is needed is among them.
    let needed = facts.azure.is_none().then(|| needed(facts, token, target));
    needed.into_iter().collect()
}

fn needed(facts: &Facts, token: &Token, target: &Object) -> Finding {
    let account = token.subject.rsplit(':').next().unwrap_or_default();
    let key = (target.namespace.clone(), account.to_owned());
    let accounts = facts.accounts.as_ref();
    let client_id = accounts
        .and_then(|it| Some(it.get(&key)?.client_id()))
        .unwrap_or_default();
    let wanted = Wanted {
        issuer: &token.issuer,
        subject: token.subject.clone(),
        audience: token.audience(),
    };
    let cause = format!(
        "identity {client_id} needs a federated credential with issuer {}, subject {} and audience {}, to the letter. \
         Whether it has it was not checked: give --credentials or --exchange",
        wanted.issuer, wanted.subject, wanted.audience
    );
    let fix = credential::create(None, client_id, &wanted);
    Finding::new(Code::Needed, target, &cause, Some(fix))
}
