//! The labelled pods in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pod::Pod;

/// Namespace and name of a pod.
pub(super) type Key = (Box<str>, Box<str>);

/// The labelled pods of the cluster.
#[derive(Debug, Default)]
pub(super) struct Pods(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<Key, Entry>,
    /// The list that is arriving, or the last one.
    list: u32,
    is_listed: bool,
    is_failing: bool,
    /// Pods that did not fit, of the last list and since.
    left_out: usize,
}

#[derive(Debug)]
struct Entry {
    pod: Pod,
    list: u32,
}

impl Pods {
    /// A list begins, or begins again. Pods of the former one stay until it is complete.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.list = state.list.wrapping_add(1);
        state.left_out = 0;
    }

    /// Puts a pod in, or takes it out.
    pub(super) fn put(&self, key: Key, pod: Option<Pod>) {
        let mut state = self.lock();
        let Some(pod) = pod else {
            state.pods.remove(&key);
            return;
        };
        if state.pods.len() >= MAX_PODS && !state.pods.contains_key(&key) {
            state.left_out += 1;
            return;
        }
        let list = state.list;
        state.pods.insert(key, Entry { pod, list });
    }

    /// A list is complete: forgets the pods that it did not contain. Returns how many did not fit.
    pub(super) fn complete(&self) -> usize {
        let mut state = self.lock();
        let list = state.list;
        state.pods.retain(|_, it| it.list == list);
        state.is_listed = true;
        state.left_out
    }

    /// Whether all pods have been listed once.
    pub(super) fn are_listed(&self) -> bool {
        self.lock().is_listed
    }

    /// Sets whether the watch fails.
    pub(super) fn set_failing(&self, is_failing: bool) {
        self.lock().is_failing = is_failing;
    }

    /// Whether the watch fails, or has not begun.
    pub(super) fn is_failing(&self) -> bool {
        let state = self.lock();
        state.is_failing || !state.is_listed
    }

    /// The number of pods in memory.
    pub(super) fn count(&self) -> usize {
        self.lock().pods.len()
    }

    /// Calls `each` with every pod, in the order of namespaces and names. The watch waits meanwhile.
    pub(super) fn each(&self, mut each: impl FnMut(&Key, &Pod)) {
        for (key, entry) in &self.lock().pods {
            each(key, &entry.pod);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod takes some 500 bytes, and one with a fault some 1,000.
const MAX_PODS: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("ns".into(), name.into())
    }

    #[test]
    fn a_new_list_replaces_the_former_once_it_is_complete() {
        let pods = Pods::default();
        pods.begin();
        pods.put(key("a"), Some(Pod::default()));
        pods.put(key("b"), Some(Pod::default()));
        assert!(pods.is_failing() && !pods.are_listed());
        assert_eq!(pods.complete(), 0);
        assert!(pods.are_listed() && !pods.is_failing());
        pods.begin();
        pods.put(key("b"), Some(Pod::default()));
        assert_eq!(pods.count(), 2, "the former list is used meanwhile");
        pods.complete();
        assert_eq!(pods.count(), 1);
        pods.put(key("b"), None);
        assert_eq!(pods.count(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let pods = Pods::default();
        pods.begin();
        for nth in 0..MAX_PODS + 2 {
            pods.put(key(&nth.to_string()), Some(Pod::default()));
        }
        pods.put(key("0"), Some(Pod::default()));
        assert_eq!(pods.complete(), 2);
        assert_eq!(pods.count(), MAX_PODS);
    }
}
