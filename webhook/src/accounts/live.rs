//! One look at the API server for an account that memory cannot answer for: bounded in time and
//! number, and one for all that ask at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
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
    under_way: Mutex<HashMap<String, Arc<OnceCell<Outcome>>>>,
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
        let key = store::key(namespace, name);
        let cell = Arc::clone(self.lock().entry(key.clone()).or_default());
        let outcome = cell
            .get_or_init(|| self.fetch(namespace, name))
            .await
            .clone();
        let mut under_way = self.lock();
        if under_way
            .get(&key)
            .is_some_and(|current| Arc::ptr_eq(current, &cell))
        {
            under_way.remove(&key);
        }
        outcome
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

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<OnceCell<Outcome>>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
