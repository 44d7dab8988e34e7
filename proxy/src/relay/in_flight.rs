//! The sockets on which requests are on their way to IMDS. What comes from one of them to the proxy
//! is its own request, which was redirected: the redirect keeps the address of the sender.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;

/// The addresses of those sockets.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<Mutex<HashSet<SocketAddr>>>);

/// Keeps one address among them until it is dropped.
#[derive(Debug)]
pub(super) struct Flight {
    all: InFlight,
    local: SocketAddr,
}

impl InFlight {
    /// Adds a connected socket. Nothing may have been sent on it yet.
    pub(super) fn begin(&self, local: SocketAddr) -> Flight {
        self.addresses().insert(local);
        Flight {
            all: self.clone(),
            local,
        }
    }

    /// Whether `peer` is one of them.
    pub(super) fn holds(&self, peer: SocketAddr) -> bool {
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
    fn an_address_is_known_as_long_as_its_socket() {
        let in_flight = InFlight::default();
        let [one, other] = ["10.0.0.1:4000", "10.0.0.1:4001"].map(|it| it.parse().unwrap());
        let flight = in_flight.begin(one);
        assert!(in_flight.holds(one) && !in_flight.holds(other));
        drop(flight);
        assert!(!in_flight.holds(one));
    }
}
