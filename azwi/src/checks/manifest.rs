//! Manifests before they are applied: the same chain, with the place of each finding.

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::{fix, subject, workload};
use crate::facts::manifest::{Manifests, Unquoted};

/// What would be wrong with the workloads once the manifests are applied. The installation and what else only a
/// cluster has are not looked at.
#[must_use]
pub fn of_manifests(manifests: &Manifests) -> Vec<Finding> {
    let facts = &manifests.facts;
    let context = Context {
        facts,
        is_working: true,
    };
    let mut findings: Vec<_> = manifests.unquoted.iter().map(unquoted).collect();
    for subject in subject::subjects(facts) {
        let mut found = workload::check(&context, &subject);
        // Several workloads may have one service account.
        found.retain(|it| !findings.contains(it));
        findings.extend(found);
    }
    for finding in &mut findings {
        finding.place = manifests.place(&finding.object, &finding.cause);
        // The object is not in the cluster, so no command there fixes it.
        if let Some(place) = &finding.place {
            finding.fix = fix::open(&place.file, place.line);
        }
    }
    findings.sort_by_key(|it| it.code.severity());
    findings
}

fn unquoted(Unquoted { object, key, value }: &Unquoted) -> Finding {
    let cause = format!(
        "{key} is {value} without quotes, which is no text: the API server refuses the object. Write {key}: \"{value}\""
    );
    Finding::new(Code::NotCreated, object, &cause, None)
}
