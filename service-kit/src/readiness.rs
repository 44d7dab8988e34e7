//! The conditions of `/readyz`, each with the reason that is shown while it is not met.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The conditions of a process. It is ready when each is met.
#[derive(Debug, Default)]
pub struct Readiness(Vec<Condition>);

struct Condition {
    is_met: Box<dyn Fn() -> bool + Send + Sync>,
    reason: &'static str,
}

impl Readiness {
    /// Adds a condition that `is_met` looks up at each probe. `reason` is shown while it is not met.
    #[must_use]
    pub fn when(
        mut self,
        is_met: impl Fn() -> bool + Send + Sync + 'static,
        reason: &'static str,
    ) -> Self {
        self.0.push(Condition {
            is_met: Box::new(is_met),
            reason,
        });
        self
    }

    /// Adds a condition that the guard sets, and that is no longer met once the guard is dropped.
    #[must_use]
    pub fn guarded(self, reason: &'static str) -> (Self, Guard) {
        let is_met = Arc::new(AtomicBool::new(false));
        let guard = Guard(Arc::clone(&is_met));
        let readiness = self.when(move || is_met.load(Ordering::Acquire), reason);
        (readiness, guard)
    }

    /// The reasons of the conditions that are not met, in the order in which they were added. Empty
    /// when the process is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = self.0.iter().filter(|condition| !(condition.is_met)());
        missing.map(|condition| condition.reason).collect()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason)
    }
}

/// One condition, held by the component that meets it.
#[derive(Debug)]
pub struct Guard(Arc<AtomicBool>);

impl Guard {
    /// Sets whether the condition is met.
    pub fn set(&self, is_met: bool) {
        self.0.store(is_met, Ordering::Release);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_to_be_met() {
        let (readiness, first) = Readiness::default().guarded("first");
        let (readiness, second) = readiness.guarded("second");
        let readiness = readiness.when(|| true, "third");
        assert_eq!(readiness.missing(), ["first", "second"]);
        first.set(true);
        assert_eq!(readiness.missing(), ["second"]);
        second.set(true);
        assert!(readiness.missing().is_empty());
        drop(first);
        assert_eq!(readiness.missing(), ["first"]);
    }
}
