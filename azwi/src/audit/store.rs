//! The labelled pods in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pod::Pod;

/// Namespace and name of a pod.
pub(super) type Key = (Arc<str>, Arc<str>);

/// The labelled pods of the cluster.
#[derive(Debug, Default)]
pub(super) struct Pods(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<Key, Entry>,
    /// Bytes of all pods, as [`size`] counts them.
    size: usize,
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
    /// A list begins, or begins again. Pods of the previous one stay until it is complete.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.list = state.list.wrapping_add(1);
        state.left_out = 0;
    }

    /// Puts a pod in, or takes it out.
    pub(super) fn put(&self, key: Key, pod: Option<Pod>) {
        let mut state = self.lock();
        if let Some(before) = state.pods.remove(&key) {
            state.size -= size(&key, &before.pod);
        }
        let Some(pod) = pod else { return };
        let size = state.size + size(&key, &pod);
        if size > MAX_SIZE {
            state.left_out += 1;
            return;
        }
        state.size = size;
        let list = state.list;
        state.pods.insert(key, Entry { pod, list });
    }

    /// A list is complete: forgets the pods that it did not contain. Returns how many did not fit.
    pub(super) fn complete(&self) -> usize {
        let mut state = self.lock();
        let list = state.list;
        let mut left = 0;
        state.pods.retain(|key, it| {
            let is_listed = it.list == list;
            left += if is_listed { size(key, &it.pod) } else { 0 };
            is_listed
        });
        state.size = left;
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

/// Bytes that a pod takes, with its place in the map, what the allocator adds, and what evictions make of it.
fn size((namespace, name): &Key, pod: &Pod) -> usize {
    const OVERHEAD: usize = size_of::<(Key, Entry)>() + 450;
    const OF_ALLOCATION: usize = 32;
    let of_owner = pod.owner.as_ref().map_or(0, |it| {
        let texts = [&it.api_version, &it.kind, &it.name, &it.uid];
        let length: usize = texts.iter().map(|it| it.len()).sum();
        length + size_of_val(&**it) + OF_ALLOCATION * 3
    });
    let of_faults = pod.faults.iter();
    let of_faults = of_faults.map(|it| it.cause.len() + size_of_val(it) + OF_ALLOCATION);
    OVERHEAD
        + namespace.len()
        + name.len()
        + pod.uid.len()
        + pod.account.len()
        + pod.injected.as_ref().map_or(0, |it| it.len())
        + of_owner
        + of_faults.sum::<usize>()
}

/// Bytes of all pods: some 50,000 ordinary ones. Less than half of the chart's memory limit. The rest is for the text of
/// pods that arrive, for service accounts and for findings.
const MAX_SIZE: usize = 48 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::owner::Owner;
    use crate::audit::pod::Fault;
    use crate::checks::Code;

    fn key(name: &str) -> Key {
        ("ns".into(), name.into())
    }

    #[test]
    fn a_new_list_replaces_the_old_one_once_it_is_complete() {
        let pods = Pods::default();
        pods.begin();
        pods.put(key("a"), Some(Pod::default()));
        pods.put(key("b"), Some(Pod::default()));
        assert!(pods.is_failing() && !pods.are_listed());
        assert_eq!(pods.complete(), 0);
        assert!(pods.are_listed() && !pods.is_failing());
        pods.begin();
        pods.put(key("b"), Some(Pod::default()));
        assert_eq!(pods.count(), 2, "the old list is used meanwhile");
        pods.complete();
        assert_eq!(pods.count(), 1);
        pods.put(key("b"), None);
        assert_eq!(pods.count(), 0);
    }

    fn total(pods: &Pods) -> usize {
        let mut total = 0;
        pods.each(|key, pod| total += size(key, pod));
        total
    }

    #[test]
    fn pods_share_a_bound_on_memory() {
        let fault = Fault {
            code: Code::OtherImage,
            cause: "x".repeat(100_000).into(),
        };
        let hostile = Pod {
            faults: [fault].into(),
            ..Pod::default()
        };
        let (pods, most) = (Pods::default(), MAX_SIZE / 90_000);
        pods.begin();
        for nth in 0..most {
            pods.put(key(&nth.to_string()), Some(hostile.clone()));
        }
        assert!(pods.count() < most);
        assert!(total(&pods) <= MAX_SIZE);
        pods.put(key("0"), Some(hostile.clone()));
        assert_eq!(pods.complete(), most - pods.count(), "a pod counts once");
        pods.begin();
        pods.put(key("0"), Some(hostile));
        assert_eq!(pods.complete(), 0, "those of the former list");
        let counted = pods.lock().size;
        assert_eq!(counted, total(&pods));
        pods.put(key("0"), None);
        assert_eq!(pods.lock().size, 0);
    }

    #[test]
    fn fifty_thousand_ordinary_pods_fit() {
        let owner = Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: "checkout-frontend-5d4f8c7b9d".into(),
            uid: "a8d0c9e2-6a5e-4a0f-9d3c-0f8f2a1b7c11".into(),
        };
        let pod = Pod {
            uid: "a8d0c9e2-6a5e-4a0f-9d3c-0f8f2a1b7c11".into(),
            owner: Some(Arc::new(owner)),
            account: "checkout-frontend".into(),
            injected: Some("a8d0c9e2-6a5e-4a0f-9d3c-0f8f2a1b7c11".into()),
            ..Pod::default()
        };
        let key = (
            "checkout-production".into(),
            "checkout-frontend-5d4f8c7b9d-x2x4z".into(),
        );
        assert!(
            size(&key, &pod) <= MAX_SIZE / 50_000,
            "{}",
            size(&key, &pod)
        );
    }
}
