//! One look at the API server for an account that memory cannot answer for: bounded in time and
//! number, and one for all that ask at once.

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

/// The API server gave no answer.
#[derive(Clone, Debug, Error)]
#[error("cannot read service account {account}: {reason}")]
pub struct LookupError {
    account: String,
    reason: String,
}

/// How long a pod's creation may wait for it.
const TIMEOUT: Duration = Duration::from_millis(500);
const MAX_AT_ONCE: usize = 20;

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
        let asking = Asking::new(self, store::key(namespace, name));
        let outcome = asking.cell.get_or_init(|| self.fetch(namespace, name));
        outcome.await.clone()
    }

    async fn fetch(&self, namespace: &str, name: &str) -> Outcome {
        let failed = |reason: String| LookupError {
            account: store::key(namespace, name),
            reason,
        };
        let api: Api<Object> = Api::namespaced(self.client.clone(), namespace);
        let lookup = async {
            let _permit = self.permits.acquire().await;
            api.get_opt(name).await
        };
        match timeout(TIMEOUT, lookup).await {
            Ok(Ok(object)) => Ok(object.map(|object| object.account.unwrap_or_default())),
            Ok(Err(error)) => Err(failed(reason(&error))),
            Err(_) => Err(failed(format!(
                "no answer within {} ms",
                TIMEOUT.as_millis()
            ))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lookup>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a look-up, or has left without waiting for its end.
struct Asking<'a> {
    live: &'a Live,
    key: String,
    cell: Arc<OnceCell<Outcome>>,
}

impl<'a> Asking<'a> {
    fn new(live: &'a Live, key: String) -> Self {
        let mut under_way = live.lock();
        let lookup = under_way.entry(key.clone()).or_default();
        lookup.asking += 1;
        let cell = Arc::clone(&lookup.cell);
        drop(under_way);
        Self { live, key, cell }
    }
}

impl Drop for Asking<'_> {
    /// What has been answered serves nobody who comes later, and the last one to leave takes what has
    /// not along.
    fn drop(&mut self) {
        let mut under_way = self.live.lock();
        let Some(lookup) = under_way.get_mut(&self.key) else {
            return;
        };
        // A later one of the same name is not ours.
        if !Arc::ptr_eq(&lookup.cell, &self.cell) {
            return;
        }
        lookup.asking -= 1;
        if lookup.asking == 0 || self.cell.initialized() {
            under_way.remove(&self.key);
        }
    }
}

#[derive(Default)]
struct Lookup {
    cell: Arc<OnceCell<Outcome>>,
    asking: usize,
}

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
