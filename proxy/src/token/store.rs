//! The tokens in memory: one exchange for each key at a time, replaced before they expire.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use foldhash::fast::RandomState;
use service_kit::log_rate::{Line, LogRate};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info};

use super::clock::{Clock, SystemClock};
use super::entry::{Entry, Outcome, Plan, Upkeep};
use super::exchange::{BUDGET, Exchange, ExchangeError, ExchangeErrorKind, Granted};
use super::value::{Key, Token, Wanted};
use crate::redact::short;

/// A token, and where it came from.
#[derive(Clone, Debug)]
pub struct Served<V> {
    /// The token.
    pub token: Arc<Token<V>>,
    /// Where it came from.
    pub source: Source,
}

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From Entra: the request waited for it.
    Entra,
    /// From memory.
    Memory,
    /// From memory, past the time to replace it, because replacing it failed.
    Stale,
}

/// The store in front of an [`Exchange`]. Clones share it. `V` is the slot in each [`Token`].
#[derive(Debug)]
pub struct Tokens<E, V = (), C = SystemClock> {
    inner: Arc<Inner<E, V, C>>,
}

#[derive(Debug)]
struct Inner<E, V, C> {
    changed: Notify,
    clock: C,
    entries: RwLock<Entries<V>>,
    exchange: E,
    /// Turns of exchanges for keys without a token, and for keys that have one: new keys do not delay the
    /// replacement of a token. Each is given in order.
    turns: [Semaphore; 2],
    /// Exchanges for new keys that may be under way or wait for their turn.
    queue: Arc<Semaphore>,
    received: LogRate,
    /// Requests that may wait for an exchange.
    waiting: Semaphore,
}

/// Looked up by each request, so with a hash faster than std's.
type Entries<V> = HashMap<Arc<Key>, Arc<Entry<V>>, RandomState>;

impl<E, V, C> Tokens<E, V, C>
where
    E: Exchange,
    V: Default + Send + Sync + 'static,
    C: Clock,
{
    /// The token, if it is in memory and not due to be replaced. This is the hot path.
    #[must_use]
    pub fn peek(&self, key: &Key) -> Option<Arc<Token<V>>> {
        let entries = self.inner.read();
        entries.get(key)?.fresh(self.inner.clock.now())
    }

    /// The token, from memory or from Entra.
    ///
    /// A key has at most one exchange under way, which continues when its callers leave. A valid token
    /// is served until it expires, whatever Entra does.
    ///
    /// # Errors
    ///
    /// There is no valid token, and Entra grants none, or refused one a moment ago.
    ///
    /// A failure that may pass is not repeated while it is remembered, because a client that retries at once
    /// would use up its attempts: the request waits for the next attempt, if that is soon.
    pub async fn get(&self, key: &Arc<Key>) -> Result<Served<V>, ExchangeError> {
        let until = Instant::now() + BUDGET;
        let entry = self.entry(key);
        match entry.plan(self.inner.clock.now()) {
            Plan::Refuse(failure, wait)
                if failure.kind != ExchangeErrorKind::Permanent && wait <= MAX_PAUSE_WAIT =>
            {
                self.pause(&failure, wait).await?;
                // The upkeep may have forgotten the key's entry meanwhile.
                let entry = self.entry(key);
                let plan = entry.plan(self.inner.clock.now());
                let served = timeout_at(until, self.carry_out(&entry, plan)).await;
                served.unwrap_or(Err(failure))
            }
            plan => self.carry_out(&entry, plan).await,
        }
    }

    /// Waits for the next attempt in a place of those who wait.
    async fn pause(&self, failure: &ExchangeError, wait: Duration) -> Result<(), ExchangeError> {
        let Ok(_place) = self.inner.waiting.try_acquire() else {
            return Err(failure.clone());
        };
        // The clocks may differ by less than this.
        sleep(wait + Duration::from_millis(1)).await;
        Ok(())
    }

    async fn carry_out(
        &self,
        entry: &Arc<Entry<V>>,
        plan: Plan<V>,
    ) -> Result<Served<V>, ExchangeError> {
        let source = match plan {
            Plan::Serve {
                token,
                refresh,
                stale,
            } => {
                if refresh {
                    self.start(entry, Reason::Refresh);
                }
                let source = if stale { Source::Stale } else { Source::Memory };
                return Ok(Served { token, source });
            }
            Plan::Refuse(failure, _) => return Err(failure),
            Plan::Exchange => {
                self.exchanged(entry).await?;
                Source::Entra
            }
            // Without a place to wait, too, the token in memory is served.
            Plan::Replace => match timeout(REPLACE_WAIT, self.exchanged(entry)).await {
                Ok(Ok(())) => Source::Entra,
                Ok(Err(_)) | Err(_) => Source::Stale,
            },
        };
        match entry.valid(self.inner.clock.now()) {
            Some(token) => Ok(Served { token, source }),
            None => Err(ExchangeError::transient(
                "Entra granted a token that has already expired: compare the node's clock with the \
                 real time",
            )),
        }
    }

    /// The same, but not the token in memory where `wanted` excludes it, if Entra grants another one. At
    /// most one exchange in some seconds is made for this.
    ///
    /// # Errors
    ///
    /// See [`Self::get`].
    pub async fn get_wanted(
        &self,
        key: &Arc<Key>,
        wanted: &Wanted,
    ) -> Result<Served<V>, ExchangeError> {
        let entry = self.entry(key);
        if !entry.is_replaceable(wanted, self.inner.clock.now()) {
            return self.get(key).await;
        }
        let source = match self.exchanged(&entry).await {
            Ok(()) => Source::Entra,
            Err(_) => Source::Stale,
        };
        match entry.valid(self.inner.clock.now()) {
            Some(token) => Ok(Served { token, source }),
            None => self.get(key).await,
        }
    }

    /// Gets the token into memory before a request asks for it. It is then replaced, as one in use, until the
    /// first request for it comes.
    ///
    /// # Errors
    ///
    /// Entra grants none, or refused one a moment ago: the next attempt may be seconds away.
    pub async fn fetch(&self, key: &Arc<Key>) -> Result<(), ExchangeError> {
        let entry = self.entry(key);
        match entry.plan(self.inner.clock.now()) {
            Plan::Serve { .. } => {}
            Plan::Refuse(failure, _) => return Err(failure),
            Plan::Exchange | Plan::Replace => self.awaited(&entry, Reason::Fetch).await?,
        }
        entry.await_first_use();
        Ok(())
    }

    async fn exchanged(&self, entry: &Arc<Entry<V>>) -> Result<(), ExchangeError> {
        self.awaited(entry, Reason::Request).await
    }

    /// Waits for an exchange for the key, which is started unless one is under way.
    async fn awaited(&self, entry: &Arc<Entry<V>>, reason: Reason) -> Result<(), ExchangeError> {
        let Ok(_place) = self.inner.waiting.try_acquire() else {
            return Err(ExchangeError::crowded());
        };
        let mut under_way = self.start(entry, reason);
        let outcome = match under_way.wait_for(Option::is_some).await {
            Ok(outcome) => (*outcome).clone(),
            Err(_) => None,
        };
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(failure)) => Err((*failure).clone()),
            None => Err(ExchangeError::transient(
                "the exchange was cancelled because the proxy is shutting down",
            )),
        }
    }
}

impl<E, V, C> Tokens<E, V, C>
where
    E: Exchange,
    V: Send + Sync + 'static,
    C: Clock,
{
    /// An empty store in front of `exchange`. At most `waiting` requests wait for it at once, and at most
    /// [`MAX_QUEUE`] exchanges for new keys; others get a transient failure. A token in memory is served regardless.
    pub fn new(exchange: E, clock: C, waiting: usize) -> Self {
        let inner = Inner {
            changed: Notify::new(),
            clock,
            entries: RwLock::default(),
            exchange,
            turns: [Semaphore::new(NEW_AT_ONCE), Semaphore::new(KNOWN_AT_ONCE)],
            queue: Arc::new(Semaphore::new(waiting.min(MAX_QUEUE))),
            received: LogRate::default(),
            waiting: Semaphore::new(waiting),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Replaces tokens that are in use before they expire, and forgets the others. Never returns.
    pub async fn keep_fresh(&self) {
        loop {
            let changed = self.inner.changed.notified();
            let pause = self.upkeep();
            // A timeout is the usual case: the next check is due.
            let _ = timeout(pause, changed).await;
        }
    }

    /// Forgets a key whose token no request has taken.
    pub fn forget_unused(&self, key: &Key) {
        self.inner
            .write()
            .retain(|kept, entry| **kept != *key || entry.is_used());
    }

    /// Each token's key and the rest of its life, those in use first.
    #[must_use]
    pub fn lifetimes(&self) -> Vec<(Arc<Key>, Duration)> {
        let now = self.inner.clock.now();
        let entries = self.inner.read();
        let mut all = Vec::with_capacity(entries.len());
        for is_in_use in [true, false] {
            let entries = entries.values();
            let entries = entries.filter(|entry| entry.worth().0 == is_in_use);
            all.extend(
                entries.filter_map(|entry| Some((Arc::clone(&entry.key), entry.left(now)?))),
            );
        }
        all
    }

    fn upkeep(&self) -> Duration {
        let now = self.inner.clock.now();
        let mut pause = MAX_UPKEEP_PAUSE;
        let mut due = Vec::new();
        let mut entries = self.inner.write();
        entries.retain(|_, entry| {
            match entry.upkeep(now) {
                Upkeep::Drop => return false,
                Upkeep::Refresh => due.push(Arc::clone(entry)),
                Upkeep::Wait(wait) => pause = pause.min(wait),
            }
            true
        });
        drop(entries);
        for entry in due {
            self.start(&entry, Reason::Refresh);
        }
        pause
    }

    /// The key's entry, made if it is new.
    fn entry(&self, key: &Arc<Key>) -> Arc<Entry<V>> {
        let mut entries = self.inner.write();
        if let Some(entry) = entries.get(key) {
            return Arc::clone(entry);
        }
        evict(&mut entries, MAX_KEYS - 1, None);
        let entry = Arc::new(Entry::new(Arc::clone(key), self.inner.clock.now()));
        entries.insert(Arc::clone(key), Arc::clone(&entry));
        entry
    }

    /// Starts an exchange for the key unless one is under way.
    fn start(&self, entry: &Arc<Entry<V>>, reason: Reason) -> watch::Receiver<Outcome> {
        let (under_way, sender) = entry.join();
        let Some(sender) = sender else {
            return under_way;
        };
        let (inner, entry) = (Arc::clone(&self.inner), Arc::clone(entry));
        let is_known = entry.has_token();
        let place = Arc::clone(&inner.queue).try_acquire_owned().ok();
        let place = place.filter(|_| !is_known);
        if !is_known && place.is_none() {
            inner.finish(&entry, &sender, Err(ExchangeError::crowded()));
            return under_way;
        }
        inner.log(&entry.key, reason);
        tokio::spawn(async move {
            let _place = place;
            let until = Instant::now() + BUDGET;
            let [new, known] = &inner.turns;
            let turns = if is_known { known } else { new };
            let outcome = match timeout(MAX_TURN_WAIT, turns.acquire()).await {
                Ok(_turn) => inner.exchange.exchange(&entry.key, until).await,
                Err(_) => Err(ExchangeError::crowded()),
            };
            inner.finish(&entry, &sender, outcome);
        });
        under_way
    }
}

impl<E, V, C> Clone for Tokens<E, V, C> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<E, V, C: Clock> Inner<E, V, C> {
    /// Records an exchange's outcome, and reports it to those who wait.
    fn finish(
        &self,
        entry: &Entry<V>,
        sender: &watch::Sender<Outcome>,
        outcome: Result<Granted, ExchangeError>,
    ) {
        let outcome = entry.finish(outcome, self.clock.now(), fastrand::f64());
        evict(&mut self.write(), MAX_KEYS, Some(&entry.key));
        self.changed.notify_one();
        sender.send_replace(Some(outcome));
    }

    fn log(&self, key: &Key, reason: Reason) {
        let client_id = short(&key.client_id);
        match reason {
            Reason::Request => {
                if let Some(Line { suppressed }) = self.received.line() {
                    info!(%client_id, resource = %key.resource, suppressed, "received token request");
                }
            }
            Reason::Fetch => {
                info!(%client_id, resource = %key.resource, "fetching a token before the application starts");
            }
            Reason::Refresh => {
                debug!(%client_id, resource = %key.resource, "replacing a token");
            }
        }
    }
}

impl<E, V, C> Inner<E, V, C> {
    fn read(&self) -> RwLockReadGuard<'_, Entries<V>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries<V>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the keys of the least worth until at most `most` are left, with at most [`MAX_BYTES`]. Leaves
/// `kept`, and keys with an exchange under way.
fn evict<V>(entries: &mut Entries<V>, most: usize, kept: Option<&Arc<Key>>) {
    let mut bytes: usize = entries.values().map(|entry| entry.weight().0).sum();
    while entries.len() > most || bytes > MAX_BYTES {
        let candidates = entries.values().filter(|it| Some(&it.key) != kept);
        let idle = candidates.filter(|entry| entry.weight().1);
        let Some(least) = idle.min_by_key(|entry| entry.worth()) else {
            return;
        };
        bytes = bytes.saturating_sub(least.weight().0);
        let key = Arc::clone(&least.key);
        entries.remove(&key);
    }
}

/// Why an exchange is started.
#[derive(Clone, Copy)]
enum Reason {
    Fetch,
    Refresh,
    Request,
}

/// The number of keys in memory. An application uses a handful.
const MAX_KEYS: usize = 1_000;

/// Leaves keys with a token in memory: those with an exchange under way are never forgotten.
pub const MAX_QUEUE: usize = 400;

/// The bytes of all keys, tokens and failures in memory: an eighth of the sidecar's memory limit.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Exchanges at once for keys without a token, and for others. Together they bound the connections to Entra.
const NEW_AT_ONCE: usize = 12;
const KNOWN_AT_ONCE: usize = 4;

/// Leaves an exchange half of its [`BUDGET`].
const MAX_TURN_WAIT: Duration = Duration::from_secs(4);

/// The longest wait of a request for the next attempt after a failure: longer than each pause that Entra
/// did not ask for. Leaves the attempt the rest of [`BUDGET`].
const MAX_PAUSE_WAIT: Duration = Duration::from_secs(5);

/// How long a request waits for a fresh token when the one in memory is nearly over. Some clients
/// give their first request one second.
const REPLACE_WAIT: Duration = Duration::from_millis(700);

/// Timers stand still while a machine is suspended, so the clocks are read at least this often.
const MAX_UPKEEP_PAUSE: Duration = Duration::from_secs(60);
