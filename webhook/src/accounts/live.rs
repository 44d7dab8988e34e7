//! Looks an account up at the API server when it is not in memory. Look-ups are bounded in time and
//! number, and concurrent ones of the same account share one request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::object::Object;
use super::store;
use crate::inject::Account;
use crate::reason::reason;

/// Why it is not known whether an account exists.
#[derive(Clone, Debug, Error)]
pub enum LookupError {
    /// The API server answered with an error, or could not be reached.
    #[error("cannot read service account {account}: {reason}")]
    Api {
        /// `namespace/name`.
        account: String,
        /// The API server's message, or the client's.
        reason: String,
    },
    /// The API server did not answer within 500 ms.
    #[error("cannot read service account {account}: no answer within {} ms", TIMEOUT.as_millis())]
    Timeout {
        /// `namespace/name`.
        account: String,
    },
}

pub(super) struct Live {
    client: Client,
    permits: Semaphore,
    under_way: Mutex<HashMap<String, Lookup>>,
}

type Outcome = Result<Option<Account>, LookupError>;

impl Live {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            permits: Semaphore::new(MAX_AT_ONCE),
            under_way: Mutex::default(),
        }
    }

    pub(super) async fn get(&self, namespace: &str, name: &str) -> Outcome {
        let guard = LookupGuard::new(self, store::key(namespace, name));
        let outcome = guard.cell.get_or_init(|| self.fetch(namespace, name));
        outcome.await.clone()
    }

    async fn fetch(&self, namespace: &str, name: &str) -> Outcome {
        let api: Api<Object> = Api::namespaced(self.client.clone(), namespace);
        let lookup = async {
            let _permit = self.permits.acquire().await;
            api.get_opt(name).await
        };
        match timeout(TIMEOUT, lookup).await {
            Ok(Ok(object)) => Ok(object.map(|object| object.fields.account.unwrap_or_default())),
            Ok(Err(error)) => Err(LookupError::Api {
                account: store::key(namespace, name),
                reason: reason(&error),
            }),
            Err(_) => Err(LookupError::Timeout {
                account: store::key(namespace, name),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lookup>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter of a look-up. Waiters may leave before it is answered.
struct LookupGuard<'a> {
    live: &'a Live,
    key: String,
    cell: Arc<OnceCell<Outcome>>,
}

impl<'a> LookupGuard<'a> {
    fn new(live: &'a Live, key: String) -> Self {
        let mut under_way = live.lock();
        let lookup = under_way.entry(key.clone()).or_default();
        lookup.waiters += 1;
        let cell = Arc::clone(&lookup.cell);
        drop(under_way);
        Self { live, key, cell }
    }
}

impl Drop for LookupGuard<'_> {
    /// Removes the entry once it is resolved, or when the last waiter is gone.
    fn drop(&mut self) {
        let mut under_way = self.live.lock();
        let Some(lookup) = under_way.get_mut(&self.key) else {
            return;
        };
        // The entry is that of a newer look-up of the same account.
        if !Arc::ptr_eq(&lookup.cell, &self.cell) {
            return;
        }
        lookup.waiters -= 1;
        if lookup.waiters == 0 || self.cell.initialized() {
            under_way.remove(&self.key);
        }
    }
}

#[derive(Default)]
struct Lookup {
    cell: Arc<OnceCell<Outcome>>,
    waiters: usize,
}

/// The longest delay of a pod's creation.
const TIMEOUT: Duration = Duration::from_millis(500);

const MAX_AT_ONCE: usize = 20;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn forgets_a_lookup_when_its_last_waiter_leaves() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", silent.local_addr().unwrap());
        let config = kube::Config::new(address.parse().unwrap());
        let live = Live::new(Client::try_from(config).unwrap());

        let mut first = Box::pin(live.get("ns", "sa"));
        let mut second = Box::pin(live.get("ns", "sa"));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(live.lock().len(), 1, "the second still waits");
        drop(second);
        assert!(live.lock().is_empty());
        assert!(live.get("ns", "sa").await.is_err());
        assert!(live.lock().is_empty());
    }
}
