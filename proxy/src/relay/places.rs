//! How many requests are relayed at once. When all places are taken, the request that has waited longest
//! makes way for a new one, so that requests that hang keep no place from one that would be answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The places of all requests that are relayed.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// A place that made way is free a moment later, when its connection is closed.
    free: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    most: usize,
    next: u64,
    /// By the time since which each waits, the oldest first.
    taken: BTreeMap<u64, Arc<Signal>>,
}

/// One place, free again when it is dropped or has made way.
#[derive(Debug)]
pub(super) struct Place {
    all: Places,
    number: u64,
    signal: Arc<Signal>,
}

/// What a request does when it makes way.
#[derive(Debug, Default)]
struct Signal {
    made_way: Notify,
    /// What is freed at once, without waiting for its task.
    held: Mutex<Option<Weak<dyn MakeWay>>>,
}

/// What frees its files and memory when it makes way.
pub(super) trait MakeWay: std::fmt::Debug + Send + Sync {
    /// Frees them.
    fn make_way(&self);
}

impl Places {
    /// So many places, at least one.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            free: Arc::new(Semaphore::new(most)),
            state: Arc::new(Mutex::new(State {
                most,
                next: 0,
                taken: BTreeMap::new(),
            })),
        }
    }

    /// Takes a place. If there is none, the one that has waited longest makes way.
    pub(super) fn take(&self) -> Place {
        let signal = Arc::<Signal>::default();
        let mut state = self.state();
        let oldest = if state.taken.len() < state.most {
            None
        } else {
            state.taken.pop_first()
        };
        let number = state.insert(Arc::clone(&signal));
        drop(state);
        if let Some((_, oldest)) = oldest {
            oldest.make_way();
        }
        Place {
            all: self.clone(),
            number,
            signal,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, signal: Arc<Signal>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.taken.insert(number, signal);
        number
    }
}

impl Signal {
    fn make_way(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref().and_then(Weak::upgrade);
        if let Some(held) = held {
            held.make_way();
        }
        self.made_way.notify_one();
    }
}

impl Place {
    /// Records that bytes arrived: it waits only from now on.
    pub(super) fn progressed(&mut self) {
        let mut state = self.all.state();
        if let Some(signal) = state.taken.remove(&self.number) {
            self.number = state.insert(signal);
        }
    }

    /// Waits until a connection to IMDS may be opened: until one that made way has closed its own. `None`
    /// when this one has made way itself.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.made_way() => None,
            permit = Arc::clone(&self.all.free).acquire_owned() => permit.ok(),
        }
    }

    /// Waits until it has made way. Only the first call returns.
    pub(super) async fn made_way(&self) {
        self.signal.made_way.notified().await;
    }

    /// Sets what is freed when it makes way. `false` if it has made way already.
    #[must_use]
    pub(super) fn hold(&self, held: Weak<dyn MakeWay>) -> bool {
        let state = self.all.state();
        let mut slot = self
            .signal
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slot = Some(held);
        state.taken.contains_key(&self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.state().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_made_way(place: &Place) -> bool {
        !place.all.state().taken.contains_key(&place.number)
    }

    #[tokio::test]
    async fn the_one_that_has_waited_longest_makes_way() {
        let places = Places::new(2);
        let (mut first, second) = (places.take(), places.take());
        first.progressed();
        let third = places.take();
        second.made_way().await;
        assert!(has_made_way(&second) && !has_made_way(&first) && !has_made_way(&third));
        drop(second);
        drop(third);
        let _fourth = places.take();
        assert!(!has_made_way(&first), "there was a free place");
        let _fifth = places.take();
        first.made_way().await;
        first.progressed();
        assert!(has_made_way(&first), "it does not come back");
    }
}
