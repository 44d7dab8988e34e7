//! The annotated service accounts of the cluster, in memory.
//!
//! A watch keeps them up to date. An account that is missing there, or has no client id, is looked up
//! at the API server: its annotation may be newer than the watch (azwi#264).

mod live;
mod object;
mod store;
pub mod watch;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use contract::name::{is_label, is_name};
use kube::Client;
use prometheus_client::registry::Registry;
use service_kit::metrics::{register_counter, register_gauge};

use crate::inject::Account;
use live::Live;
pub use live::LookupError;
use store::Store;

/// The cluster's service accounts.
pub struct Accounts {
    live: Live,
    live_lookups: AtomicU64,
    store: Store,
    /// Seconds since the epoch.
    last_event: AtomicU64,
    watch_is_failing: AtomicBool,
}

impl Accounts {
    /// No account is known until [`watch::run`] has listed them.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            live: Live::new(client),
            live_lookups: AtomicU64::new(0),
            store: Store::default(),
            last_event: AtomicU64::new(0),
            watch_is_failing: AtomicBool::new(true),
        }
    }

    /// The account, if it is in memory and has a client id.
    pub fn known(&self, namespace: &str, name: &str) -> Option<Account> {
        let known = self.store.get(namespace, name);
        known.filter(|account| !account.client_id.is_empty())
    }

    /// The account as the API server has it now, `None` when there is none. An account without our
    /// annotations is [`Account::default`].
    ///
    /// # Errors
    ///
    /// When the API server does not answer in time and the account is not in memory.
    pub async fn look_up(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Account>, LookupError> {
        // The names become the path of a request, in which other text could name another object.
        if !is_label(namespace) || !is_name(name) {
            return Ok(None);
        }
        let known = self.store.get(namespace, name);
        self.live_lookups.fetch_add(1, Ordering::Relaxed);
        match self.live.get(namespace, name).await {
            Ok(account) => Ok(account),
            // The account exists. It may have no client id on purpose.
            Err(_) if known.is_some() => Ok(known),
            Err(error) => Err(error),
        }
    }

    /// Whether the account in memory has the label that its pods should have, too (azwi#751).
    pub fn is_labelled(&self, namespace: &str, name: &str) -> bool {
        let known = self.store.get(namespace, name);
        known.is_some_and(|account| account.labelled)
    }

    /// Whether reviews can be answered: the accounts are listed, or the list has been arriving for three
    /// seconds. 50,000 accounts take one or two.
    ///
    /// The list of a large cluster may take an API server many seconds, above all after its start,
    /// and while an admission webhook is not ready no pod is created. Answers are correct without the
    /// whole list: accounts that have arrived are used at once, and any other costs one look-up,
    /// shared by all pods that wait for it, 20 at a time and 500 ms each. An API server that sends no
    /// account at all, or forbids the list, would not answer look-ups either.
    pub fn are_ready(&self) -> bool {
        self.are_listed()
            || self
                .store
                .growing()
                .is_some_and(|time| time >= LIST_TIMEOUT)
    }

    /// Whether all accounts have been listed once.
    pub fn are_listed(&self) -> bool {
        self.store.is_listed()
    }

    /// When the last event about an account arrived, since the epoch.
    pub fn last_event(&self) -> Duration {
        Duration::from_secs(self.last_event.load(Ordering::Relaxed))
    }

    /// Whether the watch has failed, or has not begun.
    pub fn watch_is_failing(&self) -> bool {
        self.watch_is_failing.load(Ordering::Relaxed)
    }

    /// The number of annotated accounts in memory.
    pub fn count(&self) -> usize {
        self.store.len()
    }

    /// The number of look-ups so far.
    pub fn live_lookups(&self) -> u64 {
        self.live_lookups.load(Ordering::Relaxed)
    }

    /// Registers the metrics of the accounts and their watch.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let accounts = Arc::clone(self);
        register_gauge(
            registry,
            "azwi_service_accounts",
            "Annotated service accounts in memory",
            move || Some(i64::try_from(accounts.count()).unwrap_or(i64::MAX)),
        );
        let accounts = Arc::clone(self);
        register_counter(
            registry,
            "azwi_service_account_live_lookups",
            "Look-ups of service accounts at the API server",
            move || accounts.live_lookups(),
        );
        let accounts = Arc::clone(self);
        register_gauge(
            registry,
            "azwi_service_account_watch_failing",
            "Whether the watch of service accounts has failed, or has not begun",
            move || Some(i64::from(accounts.watch_is_failing())),
        );
        let accounts = Arc::clone(self);
        register_gauge(
            registry,
            "azwi_service_account_watch_event_timestamp_seconds",
            "When the last event about a service account arrived",
            move || Some(accounts.last_event().as_secs_f64()),
        );
    }

    fn watch_succeeded(&self) {
        // Zero for a clock before 1970.
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        self.last_event.store(now.as_secs(), Ordering::Relaxed);
        self.watch_is_failing.store(false, Ordering::Relaxed);
    }

    fn watch_failed(&self) {
        self.watch_is_failing.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Accounts")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// How long the first list may take before reviews are answered without the rest of it.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);
