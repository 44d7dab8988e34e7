//! The tokens in memory, each asked for once and replaced before it ends.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, info};

use super::clock::{Clock, SystemClock};
use super::entry::{Entry, Landing, Plan, Upkeep};
use super::granted::{Failure, Granted};
use crate::redact::short;

/// Whose token for what. The resource is kept as it was spelled: Entra's audience, and what
/// clients look tokens up by, differ with a slash.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Key {
    /// The client id.
    pub client_id: Box<str>,
    /// The resource.
    pub resource: Box<str>,
}

/// Gets tokens from where they are made.
pub trait Exchange: Send + Sync + 'static {
    /// Gets one token. It ends by itself within a bounded time.
    ///
    /// # Errors
    /// The reason why there is none.
    fn exchange(&self, key: &Key) -> impl Future<Output = Result<Granted, Failure>> + Send;
}

/// A body to answer with, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The body of the answer.
    pub body: Bytes,
    /// Where the token came from.
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

/// The cache. Clones share it.
#[derive(Debug)]
pub struct Tokens<E, C = SystemClock> {
    inner: Arc<Inner<E, C>>,
}

#[derive(Debug)]
struct Inner<E, C> {
    changed: Notify,
    clock: C,
    entries: RwLock<HashMap<Key, Arc<Entry>>>,
    exchange: E,
}

impl<E: Exchange, C: Clock> Tokens<E, C> {
    /// An empty cache in front of `exchange`.
    pub fn new(exchange: E, clock: C) -> Self {
        let inner = Inner {
            changed: Notify::new(),
            clock,
            entries: RwLock::default(),
            exchange,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The hot path: the answer for a token that is in memory and not due to be replaced.
    pub fn peek(&self, key: &Key) -> Option<Bytes> {
        let entries = self
            .inner
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        entries.get(key)?.fresh(self.inner.clock.now())
    }

    /// The answer, from memory or from Entra.
    ///
    /// However many ask at once, one exchange is made for a key, and it goes on when they leave. A
    /// valid token is served until it ends, whatever Entra does.
    ///
    /// # Errors
    /// There is no valid token and Entra gives none, or gave none a moment ago.
    pub async fn get(&self, key: &Key) -> Result<Served, Failure> {
        let entry = self.entry(key);
        match entry.plan(self.inner.clock.now()) {
            Plan::Serve {
                body,
                refresh,
                stale,
            } => {
                if refresh {
                    self.start(&entry, Reason::Refresh);
                }
                let source = if stale { Source::Stale } else { Source::Memory };
                Ok(Served { body, source })
            }
            Plan::Refuse(failure) => Err(failure),
            Plan::Exchange => {
                self.landed(&entry).await?;
                let source = Source::Entra;
                let body = entry
                    .valid(self.inner.clock.now())
                    .ok_or_else(short_lived)?;
                Ok(Served { body, source })
            }
            Plan::Replace => {
                let landed = timeout(REPLACE_WAIT, self.landed(&entry)).await;
                let source = match landed {
                    Ok(Ok(())) => Source::Entra,
                    Ok(Err(_)) | Err(_) => Source::Stale,
                };
                let body = entry
                    .valid(self.inner.clock.now())
                    .ok_or_else(short_lived)?;
                Ok(Served { body, source })
            }
        }
    }

    /// Replaces tokens that are in use before they end, and forgets those that are not. Never
    /// returns.
    pub async fn keep_fresh(&self) {
        loop {
            let changed = self.inner.changed.notified();
            let pause = self.upkeep();
            // A timeout is the usual case: the time to look again has come.
            let _ = timeout(pause, changed).await;
        }
    }

    /// Each token's key and what is left of its life.
    pub fn lifetimes(&self) -> Vec<(Key, Duration)> {
        let now = self.inner.clock.now();
        let entries = self
            .inner
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        entries
            .values()
            .filter_map(|entry| Some((entry.key.clone(), entry.left(now)?)))
            .collect()
    }

    fn upkeep(&self) -> Duration {
        let now = self.inner.clock.now();
        let mut pause = LONGEST_PAUSE;
        let mut due = Vec::new();
        let mut entries = self
            .inner
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
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

    /// The key's entry, made if it is new. The cache is bounded: the key that was not used for the
    /// longest time makes room.
    fn entry(&self, key: &Key) -> Arc<Entry> {
        let mut entries = self
            .inner
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(key) {
            return Arc::clone(entry);
        }
        if entries.len() >= MAX_KEYS {
            let oldest = entries.values().min_by_key(|entry| entry.last_used());
            if let Some(oldest) = oldest.map(|entry| entry.key.clone()) {
                entries.remove(&oldest);
            }
        }
        let entry = Arc::new(Entry::new(key.clone(), self.inner.clock.now()));
        entries.insert(key.clone(), Arc::clone(&entry));
        entry
    }

    async fn landed(&self, entry: &Arc<Entry>) -> Result<(), Failure> {
        let mut flight = self.start(entry, Reason::Request);
        let landing = match flight.wait_for(Option::is_some).await {
            Ok(landing) => (*landing).clone(),
            Err(_) => None,
        };
        match landing {
            Some(Ok(())) => Ok(()),
            Some(Err(failure)) => Err((*failure).clone()),
            None => Err(Failure::transient(
                "the exchange was given up: the proxy is ending",
            )),
        }
    }

    /// Starts an exchange for the key unless one is under way.
    fn start(&self, entry: &Arc<Entry>, reason: Reason) -> tokio::sync::watch::Receiver<Landing> {
        let (flight, sender) = entry.join();
        let Some(sender) = sender else { return flight };
        let client_id = short(&entry.key.client_id);
        match reason {
            Reason::Request => {
                info!(%client_id, resource = %entry.key.resource, "received token request");
            }
            Reason::Refresh => {
                debug!(%client_id, resource = %entry.key.resource, "replacing a token");
            }
        }
        let (inner, entry) = (Arc::clone(&self.inner), Arc::clone(entry));
        tokio::spawn(async move {
            let outcome = inner.exchange.exchange(&entry.key).await;
            let landing = entry.land(outcome, inner.clock.now(), fastrand::f64());
            inner.changed.notify_one();
            sender.send_replace(Some(landing));
        });
        flight
    }
}

impl<E, C> Clone for Tokens<E, C> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<E: Exchange> Exchange for Arc<E> {
    fn exchange(&self, key: &Key) -> impl Future<Output = Result<Granted, Failure>> + Send {
        E::exchange(self, key)
    }
}

#[derive(Clone, Copy)]
enum Reason {
    Refresh,
    Request,
}

fn short_lived() -> Failure {
    Failure::transient("Entra granted a token that has no life left: is the node's clock right?")
}

/// How many keys are kept. An application has a handful.
const MAX_KEYS: usize = 1_000;

/// How long a request waits for a fresh token when the one at hand is nearly over. Some clients
/// give their first request one second.
const REPLACE_WAIT: Duration = Duration::from_millis(700);

/// Timers stand still while a machine sleeps, so the clocks are looked at this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
