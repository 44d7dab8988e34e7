//! What `/readyz` waits for. Each component holds the [`Handle`] of its condition and sets it; the
//! edge answers with what is missing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All conditions of a process. It is ready when each is met.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<Condition>>>);

#[derive(Clone, Debug)]
struct Condition {
    is_met: Arc<AtomicBool>,
    reason: &'static str,
}

impl Readiness {
    /// Adds a condition that is not met yet. `reason` is shown while it is not.
    #[must_use]
    pub fn condition(&self, reason: &'static str) -> Handle {
        let is_met = Arc::new(AtomicBool::new(false));
        let mut conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.push(Condition {
            is_met: Arc::clone(&is_met),
            reason,
        });
        Handle(is_met)
    }

    /// The reasons of the conditions that are not met, in the order in which they were added. Empty
    /// when the process is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = conditions
            .iter()
            .filter(|condition| !condition.is_met.load(Ordering::Acquire));
        missing.map(|condition| condition.reason).collect()
    }
}

/// One condition. When its component ends and drops it, the condition is no longer met.
#[derive(Debug)]
pub struct Handle(Arc<AtomicBool>);

impl Handle {
    /// Says whether the condition is met.
    pub fn set(&self, is_met: bool) {
        self.0.store(is_met, Ordering::Release);
    }

    /// Whether the condition is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_to_be_met() {
        let readiness = Readiness::default();
        let (first, second) = (readiness.condition("first"), readiness.condition("second"));
        assert_eq!(readiness.missing(), ["first", "second"]);
        first.set(true);
        assert_eq!(readiness.missing(), ["second"]);
        second.set(true);
        assert!(readiness.missing().is_empty());
        drop(first);
        assert_eq!(readiness.missing(), ["first"]);
    }
}
