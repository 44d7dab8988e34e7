//! One granted token: how much of its life is left, and its value at each moment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Now;
use super::exchange::Granted;
use super::refresh::{nearly_over, refresh_after};
use super::value::{AccessToken, Key, Token, Wanted};

/// A granted token with the times that decide about it.
pub(super) struct Issued<V> {
    key: Arc<Key>,
    access_token: AccessToken,
    ext_expires_in: Duration,
    granted_at: Now,
    lifetime: Duration,
    /// The rest of the life at which the token is due to be replaced.
    refresh_left: Duration,
    /// The value that was handed out last.
    current: Option<Arc<Token<V>>>,
}

impl<V: Default> Issued<V> {
    /// The value to hand out. The same one as before while its numbers stay the same, so at most one
    /// is made in a second.
    pub(super) fn token(&mut self, now: Now) -> Arc<Token<V>> {
        let left = self.left(now);
        let expires_in = left.as_secs();
        let expires_on = self.expires_on(now, left);
        match &self.current {
            Some(token) if token.expires_in == expires_in && token.expires_on == expires_on => {
                Arc::clone(token)
            }
            _ => {
                let token = Arc::new(self.value(expires_in, expires_on));
                self.current = Some(Arc::clone(&token));
                token
            }
        }
    }

    fn value(&self, expires_in: u64, expires_on: u64) -> Token<V> {
        Token {
            key: Arc::clone(&self.key),
            access_token: self.access_token.clone(),
            expires_in,
            expires_on,
            ext_expires_in: self.ext_expires_in.as_secs(),
            // Entra dates a token five minutes back, and IMDS passes that on.
            not_before: expires_on.saturating_sub(self.lifetime.as_secs() + 300),
            view: V::default(),
        }
    }
}

impl<V> Issued<V> {
    /// `jitter` goes from 0 to 1: see [`refresh_after`].
    pub(super) fn new(key: Arc<Key>, granted: Granted, granted_at: Now, jitter: f64) -> Self {
        let lifetime = granted.expires_in;
        Self {
            key,
            access_token: granted.access_token,
            ext_expires_in: granted.ext_expires_in,
            granted_at,
            lifetime,
            refresh_left: lifetime - refresh_after(lifetime, granted.refresh_in, jitter),
            current: None,
        }
    }

    /// The rest of the token's life. Both clocks count: a machine that slept, and a wall clock that was
    /// set, may shorten the rest but never lengthen it.
    pub(super) fn left(&self, now: Now) -> Duration {
        let by =
            |granted_at: Duration, now: Duration| (granted_at + self.lifetime).saturating_sub(now);
        by(self.granted_at.boot, now.boot).min(by(self.granted_at.wall, now.wall))
    }

    /// The length of the access token.
    pub(super) fn bytes(&self) -> usize {
        self.access_token.reveal().len()
    }

    /// Whether a request that does not want this token may have another one now.
    pub(super) fn is_replaceable(&self, wanted: &Wanted, now: Now) -> bool {
        let age = now.boot.saturating_sub(self.granted_at.boot);
        match wanted {
            Wanted::Any => false,
            Wanted::New => age >= MIN_AGE,
            Wanted::Other(refused) => {
                age >= MIN_AGE && self.access_token.sha256().as_ref() == refused
            }
        }
    }

    /// Whether it can still be handed out: IMDS never answers with an `expires_in` of 0 (R9).
    pub(super) fn is_valid(&self, now: Now) -> bool {
        self.left(now) >= Duration::from_secs(1)
    }

    /// How long until it is due to be replaced.
    pub(super) fn until_refresh(&self, now: Now) -> Duration {
        self.left(now).saturating_sub(self.refresh_left)
    }

    /// Whether so little is left that a fresh one is worth a short wait (IMDS R9).
    pub(super) fn is_nearly_over(&self, now: Now) -> bool {
        self.left(now) < nearly_over(self.lifetime)
    }

    /// The end of the life by the wall clock, which applications compare it with. The same in every
    /// answer, unless the clock was set back in between.
    fn expires_on(&self, now: Now, left: Duration) -> u64 {
        let planned = self.granted_at.wall + self.lifetime;
        let seen = now.wall + left;
        let expires_on = if planned.abs_diff(seen) > TOLERANCE {
            seen
        } else {
            planned
        };
        expires_on.as_secs()
    }
}

impl<V> fmt::Debug for Issued<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Issued")
            .field("granted_at", &self.granted_at)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// How old a token is at least before a request replaces it: an application that sends `bypass_cache=true`
/// with every request would make Entra limit its rate.
const MIN_AGE: Duration = Duration::from_secs(5);

/// How far the wall clock may drift from the boot clock before `expires_on` follows it.
const TOLERANCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Now = Now {
        boot: Duration::from_secs(1_000),
        wall: Duration::from_secs(1_605_152_324),
    };

    fn issued(lifetime: u64) -> Issued<()> {
        let key = Key {
            client_id: "da95e381-d7ab-4fdc-8047-2457909c723b".into(),
            resource: "https://management.azure.com/".into(),
            claims: None,
        };
        let granted = Granted {
            access_token: "eyJ0eXAiOiJKV".to_owned().into(),
            expires_in: Duration::from_secs(lifetime),
            ext_expires_in: Duration::from_secs(86_399),
            refresh_in: None,
        };
        Issued::new(Arc::new(key), granted, START, 0.0)
    }

    fn later(boot: i64, wall: i64) -> Now {
        let moved =
            |clock: Duration, by| Duration::from_secs(clock.as_secs().saturating_add_signed(by));
        Now {
            boot: moved(START.boot, boot),
            wall: moved(START.wall, wall),
        }
    }

    fn numbers(issued: &mut Issued<()>, now: Now) -> (u64, u64) {
        let token = issued.token(now);
        (token.expires_in, token.expires_on)
    }

    #[test]
    fn r4_the_value_has_every_number_of_the_answer() {
        let token = issued(86_399).token(later(13, 13));
        assert_eq!(token.expires_in, 86_386);
        assert_eq!(token.expires_on, 1_605_238_723);
        assert_eq!(token.ext_expires_in, 86_399);
        assert_eq!(token.not_before, 1_605_152_024);
    }

    #[test]
    fn hands_out_the_same_value_within_a_second() {
        let mut issued = issued(3600);
        let first = issued.token(START);
        assert!(Arc::ptr_eq(&first, &issued.token(START)));
        assert!(!Arc::ptr_eq(&first, &issued.token(later(1, 1))));
    }

    #[test]
    fn only_expires_in_changes_with_time() {
        let mut issued = issued(3600);
        let end = START.wall.as_secs() + 3600;
        for passed in [0, 1, 2, 600, 3599] {
            let wanted = (3600 - passed as u64, end);
            assert_eq!(numbers(&mut issued, later(passed, passed)), wanted);
        }
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_the_life() {
        let mut issued = issued(3600);
        let now = later(600, 600 - 86_400);
        assert_eq!(numbers(&mut issued, now), (3000, now.wall.as_secs() + 3000));
    }

    #[test]
    fn a_clock_that_jumps_ahead_ends_the_token() {
        let mut issued = issued(3600);
        let now = later(60, 3000);
        assert_eq!(
            numbers(&mut issued, now),
            (600, START.wall.as_secs() + 3600)
        );
        assert!(!issued.is_valid(later(60, 3600)));
        assert!(!issued.is_valid(later(60, 90_000)));
    }

    #[test]
    fn suspend_counts_as_age() {
        assert!(!issued(3600).is_valid(later(4000, 60)));
    }

    #[test]
    fn r9_a_token_with_less_than_a_second_left_is_not_valid() {
        let issued = issued(3600);
        assert!(issued.is_valid(later(3599, 3599)));
        assert!(!issued.is_valid(later(3600, 3599)));
        assert!(!issued.is_valid(later(3599, 3600)));
    }

    #[test]
    fn a_slewed_clock_leaves_expires_on_alone() {
        let end = START.wall.as_secs() + 3600;
        assert_eq!(numbers(&mut issued(3600), later(100, 97)), (3500, end));
    }
}
