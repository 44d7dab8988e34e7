//! One key of the cache: its token, its failures, and the exchange under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::clock::Now;
use super::granted::{Failure, Granted};
use super::issued::Issued;
use super::refresh::{Gate, Pauses};
use super::store::Key;

/// The state of one key. Its lock is never held while anything is waited for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    state: Mutex<State>,
}

/// The result of an exchange, for all who wait for it.
pub(super) type Landing = Option<Result<(), Arc<Failure>>>;

/// What to do for a request.
#[derive(Debug)]
pub(super) enum Plan {
    /// Ask Entra and wait for it.
    Exchange,
    /// Ask Entra, wait a moment, and serve what is there then.
    Replace,
    /// The last failure stands for now.
    Refuse(Failure),
    /// Serve this.
    Serve {
        body: Bytes,
        /// Ask Entra meanwhile.
        refresh: bool,
        /// The token should have been replaced, and that failed.
        stale: bool,
    },
}

/// What to do for a key that nobody asks for just now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// Forget it.
    Drop,
    /// Replace its token.
    Refresh,
    /// Look again after this long.
    Wait(Duration),
}

#[derive(Debug, Default)]
struct State {
    /// When the last attempt failed, by the boot clock.
    failed_at: Duration,
    failure: Option<Arc<Failure>>,
    flight: Option<watch::Receiver<Landing>>,
    gate: Gate,
    last_used: Duration,
    pauses: Pauses,
    token: Option<Issued>,
    /// Whether the token was handed out since it came.
    used: bool,
}

impl Entry {
    pub(super) fn new(key: Key, now: Now) -> Self {
        let state = State {
            last_used: now.boot,
            ..State::default()
        };
        Self {
            key,
            state: Mutex::new(state),
        }
    }

    /// The answer, if it needs no thought: the token is there and not due to be replaced.
    pub(super) fn fresh(&self, now: Now) -> Option<Bytes> {
        let mut state = self.lock();
        let due = state.token.as_ref()?.until_refresh(now).is_zero();
        if due { None } else { state.hand_out(now) }
    }

    /// The answer, if there is a valid token.
    pub(super) fn valid(&self, now: Now) -> Option<Bytes> {
        self.lock().hand_out(now)
    }

    pub(super) fn plan(&self, now: Now) -> Plan {
        let mut state = self.lock();
        let closed_for = state.closed_for(now);
        let idle = state.flight.is_none() && closed_for.is_zero();
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
        if let Some(body) = state.hand_out(now) {
            let refresh = due && idle;
            return Plan::Serve {
                body,
                refresh,
                stale,
            };
        }
        match &state.failure {
            Some(failure) if !closed_for.is_zero() && state.flight.is_none() => {
                Plan::Refuse(failure.closed_for(closed_for))
            }
            _ => Plan::Exchange,
        }
    }

    pub(super) fn upkeep(&self, now: Now) -> Upkeep {
        let state = self.lock();
        if state.flight.is_some() {
            return Upkeep::Wait(FAR);
        }
        let closed_for = state.closed_for(now);
        match &state.token {
            Some(token) if token.is_valid(now) && state.used => {
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

    /// The exchange under way, and the sender to start one with if there is none.
    pub(super) fn join(&self) -> (watch::Receiver<Landing>, Option<watch::Sender<Landing>>) {
        let mut state = self.lock();
        if let Some(flight) = &state.flight {
            return (flight.clone(), None);
        }
        let (sender, receiver) = watch::channel(None);
        state.flight = Some(receiver.clone());
        (receiver, Some(sender))
    }

    /// Records what an exchange brought.
    pub(super) fn land(
        &self,
        outcome: Result<Granted, Failure>,
        now: Now,
        jitter: f64,
    ) -> Result<(), Arc<Failure>> {
        let mut state = self.lock();
        state.flight = None;
        match outcome {
            Ok(granted) => {
                state.gate.succeeded();
                state.pauses = Pauses::default();
                state.failure = None;
                state.token = Some(Issued::new(&self.key, &granted, now, jitter));
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

    pub(super) fn last_used(&self) -> Duration {
        self.lock().last_used
    }

    /// What is left of the token's life, if there is a token.
    pub(super) fn left(&self, now: Now) -> Option<Duration> {
        self.lock().token.as_ref().map(|token| token.left(now))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves the state whole, so a panic elsewhere does not matter here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long no attempt is made yet.
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

    fn hand_out(&mut self, now: Now) -> Option<Bytes> {
        let token = self.token.as_mut().filter(|token| token.is_valid(now))?;
        self.used = true;
        self.last_used = now.boot;
        Some(token.body(now))
    }
}

impl Failure {
    /// The same failure, to be told `wait` before the next attempt.
    fn closed_for(&self, wait: Duration) -> Self {
        let mut failure = self.clone();
        if let Some(retry_after) = &mut failure.retry_after {
            *retry_after = wait;
        }
        failure
    }
}

const FAR: Duration = Duration::from_secs(3600);
