//! One key of the store: its token, its last failure, and the exchange under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::clock::Now;
use super::exchange::{ExchangeError, Granted};
use super::issued::Issued;
use super::refresh::{Gate, Pauses};
use super::value::{Key, Token, Wanted};

/// The state of one key. Its lock is never held across an await.
#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) key: Arc<Key>,
    state: Mutex<State<V>>,
}

/// The outcome of an exchange for everyone who waits for it; `None` while it is under way.
pub(super) type Outcome = Option<Result<(), Arc<ExchangeError>>>;

/// How to answer a request.
#[derive(Debug)]
pub(super) enum Plan<V> {
    /// Start an exchange and wait for it.
    Exchange,
    /// Start an exchange, wait for a bounded time, and serve the token that is there then.
    Replace,
    /// Repeat the last failure: the next attempt may start after this long.
    Refuse(ExchangeError, Duration),
    /// Serve this token.
    Serve {
        token: Arc<Token<V>>,
        /// Start an exchange in the background.
        refresh: bool,
        /// The token is due to be replaced, and the last attempt failed.
        stale: bool,
    },
}

/// How to keep a key up to date between requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// Forget the key.
    Drop,
    /// Replace the token.
    Refresh,
    /// Look again after this long.
    Wait(Duration),
}

#[derive(Debug)]
struct State<V> {
    /// When the last attempt failed, by the boot clock.
    failed_at: Duration,
    failure: Option<Arc<ExchangeError>>,
    under_way: Option<watch::Receiver<Outcome>>,
    gate: Gate,
    /// When the key was last requested, by the boot clock.
    last_used: Duration,
    pauses: Pauses,
    token: Option<Issued<V>>,
    /// Whether the token was handed out since it was granted.
    used: bool,
    /// Whether the first request for the key is still to come, so that its token is replaced without use.
    awaited: bool,
    /// Whether a token was handed out more than once.
    reused: bool,
}

impl<V: Default> Entry<V> {
    /// The token, if it is in memory and not due to be replaced.
    pub(super) fn fresh(&self, now: Now) -> Option<Arc<Token<V>>> {
        let mut state = self.lock();
        let due = state.token.as_ref()?.until_refresh(now).is_zero();
        if due { None } else { state.hand_out(now) }
    }

    /// The token, if it is valid.
    pub(super) fn valid(&self, now: Now) -> Option<Arc<Token<V>>> {
        self.lock().hand_out(now)
    }

    pub(super) fn plan(&self, now: Now) -> Plan<V> {
        let mut state = self.lock();
        let closed_for = state.closed_for(now);
        let idle = state.under_way.is_none() && closed_for.is_zero();
        let nearly_over = state
            .token
            .as_ref()
            .is_some_and(|token| token.is_nearly_over(now));
        let due = state
            .token
            .as_ref()
            .is_none_or(|token| token.until_refresh(now).is_zero());
        let stale = due && state.failure.is_some();
        let waitable = state.failure.is_none() || idle;
        if nearly_over && waitable && state.is_valid(now) {
            return Plan::Replace;
        }
        if let Some(token) = state.hand_out(now) {
            let refresh = due && idle;
            return Plan::Serve {
                token,
                refresh,
                stale,
            };
        }
        match &state.failure {
            Some(failure) if !closed_for.is_zero() && state.under_way.is_none() => {
                Plan::Refuse(failure.again_after(closed_for), closed_for)
            }
            _ => Plan::Exchange,
        }
    }
}

impl<V> Entry<V> {
    pub(super) fn new(key: Arc<Key>, now: Now) -> Self {
        let state = State {
            failed_at: Duration::ZERO,
            failure: None,
            under_way: None,
            gate: Gate::default(),
            last_used: now.boot,
            pauses: Pauses::default(),
            token: None,
            used: false,
            awaited: false,
            reused: false,
        };
        Self {
            key,
            state: Mutex::new(state),
        }
    }

    /// Replaces the token, as one in use, until a request comes for it.
    pub(super) fn await_first_use(&self) {
        let mut state = self.lock();
        (state.used, state.awaited) = (false, true);
    }

    /// Whether the token was handed out since it was granted.
    pub(super) fn is_used(&self) -> bool {
        self.lock().used
    }

    /// Whether a request that does not want the token in memory waits for another one.
    pub(super) fn is_replaceable(&self, wanted: &Wanted, now: Now) -> bool {
        let state = self.lock();
        let is_open = state.under_way.is_some() || state.closed_for(now).is_zero();
        let token = state.token.as_ref().filter(|token| token.is_valid(now));
        is_open && token.is_some_and(|token| token.is_replaceable(wanted, now))
    }

    pub(super) fn upkeep(&self, now: Now) -> Upkeep {
        let state = self.lock();
        if state.under_way.is_some() {
            return Upkeep::Wait(FAR);
        }
        let closed_for = state.closed_for(now);
        match &state.token {
            Some(token) if token.is_valid(now) && (state.used || state.awaited) => {
                match token.until_refresh(now).max(closed_for) {
                    Duration::ZERO => Upkeep::Refresh,
                    wait => Upkeep::Wait(wait),
                }
            }
            Some(token) if token.is_valid(now) => Upkeep::Wait(token.left(now)),
            _ if closed_for.is_zero() => Upkeep::Drop,
            _ => Upkeep::Wait(closed_for),
        }
    }

    /// The exchange under way. If there is none, a new one, with the sender of its outcome.
    pub(super) fn join(&self) -> (watch::Receiver<Outcome>, Option<watch::Sender<Outcome>>) {
        let mut state = self.lock();
        if let Some(under_way) = &state.under_way {
            return (under_way.clone(), None);
        }
        let (sender, receiver) = watch::channel(None);
        state.under_way = Some(receiver.clone());
        (receiver, Some(sender))
    }

    /// Records the outcome of an exchange.
    pub(super) fn finish(
        &self,
        outcome: Result<Granted, ExchangeError>,
        now: Now,
        jitter: f64,
    ) -> Result<(), Arc<ExchangeError>> {
        let mut state = self.lock();
        state.under_way = None;
        match outcome {
            Ok(granted) => {
                state.gate.succeeded();
                state.pauses = Pauses::default();
                state.failure = None;
                state.token = Some(Issued::new(Arc::clone(&self.key), granted, now, jitter));
                state.used = false;
                Ok(())
            }
            Err(failure) => {
                state.pauses = state.gate.failed(failure.kind, failure.retry_after, jitter);
                state.failed_at = now.boot;
                let failure = Arc::new(failure);
                state.failure = Some(Arc::clone(&failure));
                Err(failure)
            }
        }
    }

    /// What the key is worth: keys whose token was served again come first, and then those that were
    /// requested last. A flood of new keys displaces none that is in use.
    pub(super) fn worth(&self) -> (bool, Duration) {
        let state = self.lock();
        (state.reused, state.last_used)
    }

    /// The bytes that the key holds in memory, and whether it could be forgotten.
    pub(super) fn weight(&self) -> (usize, bool) {
        let state = self.lock();
        let token = state.token.as_ref().map_or(0, Issued::bytes);
        let failure = state.failure.as_ref();
        let failure = failure.map_or(0, |failure| failure.error.len() + failure.description.len());
        let bytes = OVERHEAD + self.key.bytes() + token * BODIES + failure;
        (bytes, state.under_way.is_none())
    }

    /// Whether the key has a token, valid or not.
    pub(super) fn has_token(&self) -> bool {
        self.lock().token.is_some()
    }

    /// The rest of the token's life, if there is a token.
    pub(super) fn left(&self, now: Now) -> Option<Duration> {
        self.lock().token.as_ref().map(|token| token.left(now))
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        // Each change leaves the state consistent, so a panic elsewhere does no harm here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Default> State<V> {
    fn hand_out(&mut self, now: Now) -> Option<Arc<Token<V>>> {
        let token = self.token.as_mut().filter(|token| token.is_valid(now))?;
        self.reused |= self.used;
        self.used = true;
        self.awaited = false;
        self.last_used = now.boot;
        Some(token.token(now))
    }
}

impl<V> State<V> {
    /// The time until the next attempt may start.
    fn closed_for(&self, now: Now) -> Duration {
        let pause = if self.is_valid(now) {
            self.pauses.with_token
        } else {
            self.pauses.without_token
        };
        (self.failed_at + pause).saturating_sub(now.boot)
    }

    fn is_valid(&self, now: Now) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_valid(now))
    }
}

impl ExchangeError {
    /// The same failure, when the next attempt is `wait` away.
    fn again_after(&self, wait: Duration) -> Self {
        let mut failure = self.clone();
        if let Some(retry_after) = &mut failure.retry_after {
            *retry_after = wait;
        }
        failure
    }
}

/// Bytes of a key besides its texts.
const OVERHEAD: usize = 1024;

/// A token is in memory by itself and in up to three rendered bodies.
const BODIES: usize = 4;

/// While an exchange is under way. Its end wakes the upkeep.
const FAR: Duration = Duration::from_secs(3600);
