//! Workloads that could not be read in a round. They are left alone, and the others are not.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Error;
use tracing::warn;
use webhook::reason::reason;

use super::owner::Owner;

/// What could not be read in the current round.
#[derive(Debug, Default)]
pub(super) struct Unread {
    namespaces: BTreeSet<Arc<str>>,
    count: usize,
    /// The first one, with the reason.
    first: Option<String>,
    /// Whether the previous round had one: it is logged once, not in every round.
    is_logged: bool,
}

impl Unread {
    /// A round begins.
    pub(super) fn begin(&mut self) {
        self.namespaces.clear();
        self.count = 0;
        self.first = None;
    }

    /// Adds a workload, or the owner of pods.
    ///
    /// # Errors
    ///
    /// When the API server did not answer: then it would not answer about others either.
    pub(super) fn add(
        &mut self,
        namespace: &Arc<str>,
        owner: &Owner,
        error: Error,
    ) -> Result<(), Error> {
        if matches!(
            error,
            Error::Service(_) | Error::HyperError(_) | Error::Auth(_)
        ) {
            return Err(error);
        }
        self.namespaces.insert(Arc::clone(namespace));
        self.count += 1;
        self.first.get_or_insert_with(|| {
            let Owner { kind, name, .. } = owner;
            format!("{kind} {namespace}/{name}: {}", reason(&error))
        });
        Ok(())
    }

    /// Whether something of the namespace could not be read.
    pub(super) fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    /// The round ends.
    pub(super) fn log(&mut self) {
        let was_logged = std::mem::replace(&mut self.is_logged, self.count > 0);
        if let Some(first) = &self.first
            && !was_logged
        {
            warn!(
                count = self.count,
                first, "owners of pods cannot be read: no pod of theirs is evicted, trying again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn skips_what_the_api_server_refuses_and_ends_the_round_when_it_does_not_answer() {
        let mut unread = Unread::default();
        let refused = || Error::Api(Status::failure("refused", "Forbidden").boxed());
        let (namespace, owner) = ("prod".into(), Owner::default());
        for _ in 0..2 {
            unread.add(&namespace, &owner, refused()).unwrap();
        }
        assert!(unread.has_namespace("prod") && !unread.has_namespace("other"));
        assert_eq!(unread.count, 2);
        unread.log();
        assert!(unread.is_logged);
        unread.begin();
        assert!(!unread.has_namespace("prod"));
        unread.log();
        assert!(!unread.is_logged);
        let silent = Error::Service("no answer".into());
        assert!(unread.add(&namespace, &owner, silent).is_err());
    }
}
