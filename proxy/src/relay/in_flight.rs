//! The local addresses of requests that are on their way to IMDS. A request that reaches the proxy from
//! one of them is the relay's own, redirected: the redirect keeps the sender's address.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses of all requests under way.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<Mutex<HashSet<SocketAddr>>>);

/// Keeps one address in the set until it is dropped.
#[derive(Debug)]
pub(super) struct Flight {
    all: InFlight,
    local: SocketAddr,
}

impl InFlight {
    /// Adds the address of a connected socket, before anything is sent on it.
    pub(super) fn begin(&self, local: SocketAddr) -> Flight {
        self.addresses().insert(local);
        Flight {
            all: self.clone(),
            local,
        }
    }

    /// Whether `peer` is in the set.
    pub(super) fn contains(&self, peer: SocketAddr) -> bool {
        self.addresses().contains(&peer)
    }

    fn addresses(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all.addresses().remove(&self.local);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_an_address_until_its_guard_is_dropped() {
        let in_flight = InFlight::default();
        let [one, other] = ["10.0.0.1:4000", "10.0.0.1:4001"].map(|it| it.parse().unwrap());
        let flight = in_flight.begin(one);
        assert!(in_flight.contains(one) && !in_flight.contains(other));
        drop(flight);
        assert!(!in_flight.contains(one));
    }
}
