//! Before the webhook is installed: the API server, the user's rights, and what refuses the pods that the webhook
//! would make.

use super::code::Code;
use super::finding::Finding;
use super::{dry_run, fix, installation, subject};
use crate::command::Command;
use crate::facts::Facts;
use crate::facts::dry_run::Outcome;
use crate::facts::object::Object;
use crate::facts::preparation::{Preparation, Version};

/// The findings about a planned installation.
pub(super) fn check(facts: &Facts, preparation: &Preparation) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(preparation.version.as_ref().and_then(version));
    findings.extend(rights(&preparation.missing));
    let known = facts.installation.as_ref();
    findings.extend(known.and_then(installation::second_to_be));
    for subject in subject::subjects(facts) {
        let mut pods = preparation.pods.iter();
        let pod = pods.find(|it| it.object == subject.object);
        if let Some(Outcome::Refused(message)) = pod.map(|it| &it.outcome) {
            findings.push(dry_run::would_be_refused(&subject, message));
        }
    }
    findings
}

fn version(version: &Version) -> Option<Finding> {
    let Version { number, text } = version;
    let object = Object::new("APIServer", "", text);
    let (code, cause) = if *number < OLDEST {
        (
            Code::TooOld,
            format!(
                "the API server is older than {}.{}, which the chart needs",
                OLDEST.0, OLDEST.1
            ),
        )
    } else if *number < POLICIES {
        (
            Code::OldApiServer,
            "the API server is older than 1.30: it has no ValidatingAdmissionPolicy for the guard, and sidecars are plain \
             containers"
                .to_owned(),
        )
    } else if *number < SIDECARS {
        (
            Code::OldApiServer,
            "the API server is older than 1.32: sidecars are plain containers, and Jobs end only with annotation proxy-quit"
                .to_owned(),
        )
    } else {
        return None;
    };
    Some(Finding::new(code, &object, &cause, None))
}

fn rights(missing: &[String]) -> Option<Finding> {
    if missing.is_empty() {
        return None;
    }
    let object = Object::new("Namespace", "", "azure-workload-identity-system");
    let cause = format!(
        "you may not install the chart: the right to {} is missing",
        missing.join(", to ")
    );
    let fix = Command::new(fix::BIND_ADMIN);
    Some(Finding::new(Code::NoRight, &object, &cause, Some(fix)))
}

/// The chart's `kubeVersion`.
const OLDEST: (u32, u32) = (1, 24);
/// ValidatingAdmissionPolicy is stable.
const POLICIES: (u32, u32) = (1, 30);
/// The webhook makes native sidecars.
const SIDECARS: (u32, u32) = (1, 32);
