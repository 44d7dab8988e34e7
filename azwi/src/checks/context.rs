//! The facts around a workload.

use contract::token::DEFAULT_AUDIENCE;

use super::subject::Subject;
use crate::facts::Facts;
use crate::facts::workload::Pod;

/// The facts that a check of a workload needs besides the workload.
pub(super) struct Context<'a> {
    pub(super) facts: &'a Facts,
    /// Whether the webhook is there and answers, as far as is known.
    pub(super) is_working: bool,
}

impl Context<'_> {
    /// The audiences that the webhook's tokens have.
    pub(super) fn audiences(&self) -> Vec<&str> {
        let settings = self.facts.installation.as_ref();
        let settings = settings.and_then(|it| it.settings.as_ref());
        let Some(settings) = settings else {
            return vec![DEFAULT_AUDIENCE];
        };
        let bindings = settings.bindings.as_ref().map(|it| it.audience.as_str());
        [settings.audience.as_str()]
            .into_iter()
            .chain(bindings)
            .collect()
    }

    pub(super) fn has_token(&self, subject: &Subject<'_>) -> bool {
        let mut audiences = self.audiences().into_iter();
        audiences.any(|it| subject.template.has_token_for(it))
    }

    pub(super) fn pod_has_token(&self, pod: &Pod) -> bool {
        let mut audiences = self.audiences().into_iter();
        audiences.any(|it| pod.template.has_token_for(it))
    }
}
