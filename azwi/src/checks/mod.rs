//! Facts in, findings out. No I/O, no clock.
//!
//! A workload is a chain: its pods can only get a token when every link before it holds. Its check stops at
//! the first link that is broken, because the next ones follow from it.

mod account;
mod code;
mod context;
mod credential;
mod dry_run;
mod exchange;
mod finding;
mod fix;
mod injection;
mod installation;
mod issuer;
mod label;
mod manifest;
mod namespace;
mod network;
mod pods;
mod preparation;
mod subject;
mod token;
mod token_file;
mod token_mount;
mod workload;

pub use code::{Code, Severity};
pub use finding::Finding;
pub use manifest::of_manifests;

use std::collections::BTreeSet;

use crate::facts::issuer::Issuer;
use crate::facts::object::Object;
use crate::facts::template::Template;
use crate::facts::token::Token;
use crate::facts::{Facts, Gap};
use context::Context;
use finding::is_error;
use subject::Subject;

/// Every finding, those of the installation first, as the others may follow from them.
#[must_use]
pub fn all(facts: &Facts) -> Vec<Finding> {
    let (mut findings, is_working) = match &facts.preparation {
        // Pods are without token before the webhook is installed.
        Some(preparation) => (preparation::check(facts, preparation), false),
        None => {
            let findings = installation::check(facts);
            let is_working = !findings.iter().any(is_error);
            (findings, is_working)
        }
    };
    let context = Context { facts, is_working };
    let is_granted = facts
        .exchange
        .as_ref()
        .is_some_and(|it| it.granted().is_some());
    let mut broken = BTreeSet::new();
    for subject in subject::subjects(facts) {
        let mut found = workload::check(&context, &subject);
        if !is_granted && !found.iter().any(is_error) {
            found.extend(credential::check(&context, &subject));
        }
        if found.iter().any(is_error) {
            broken.insert(subject.object);
        }
        // Several workloads may have one service account.
        found.retain(|it| !findings.contains(it));
        findings.extend(found);
    }
    match &facts.target {
        Some(target) if !broken.contains(target) => {
            findings.extend(token::check(facts));
            findings.extend(token_file::check(&context, target));
        }
        Some(_) => {}
        None => {
            findings.extend(account::check_all(facts));
            findings.extend(credential::check_all(facts));
        }
    }
    findings.sort_by_key(|it| it.code.severity());
    findings
}

/// What is wrong with the webhook and what it runs on.
#[must_use]
pub fn of_installation(facts: &Facts) -> Vec<Finding> {
    installation::check(facts)
}

/// What would be wrong with new pods of a workload that had this template. Its own pods are not looked at.
#[must_use]
pub fn of_template(facts: &Facts, object: &Object, template: &Template) -> Vec<Finding> {
    let context = Context {
        facts,
        is_working: true,
    };
    let subject = Subject {
        object: object.clone(),
        template,
        is_labelled: false,
        client_id: None,
        failure: None,
        pods: Vec::new(),
    };
    workload::check(&context, &subject)
}

/// What is wrong with an issuer and a token of it, errors first, in the order of the way that Entra takes.
#[must_use]
pub fn of_issuer(issuer: &Issuer, token: Option<&Token>) -> Vec<Finding> {
    issuer::check(issuer, token)
}

/// What could not be compared, because Azure's documents lack it.
#[must_use]
pub fn gaps(facts: &Facts) -> Vec<Gap> {
    let context = Context {
        facts,
        is_working: true,
    };
    credential::gaps(&context, &subject::subjects(facts))
}
