//! A token in memory: how much of it is left, and the answer that hands it out.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::clock::Now;
use super::granted::Granted;
use super::refresh::{nearly_over, refresh_after};
use super::store::Key;

/// A granted token with the parts of its answer, ready to be joined.
pub(super) struct Issued {
    granted_at: Now,
    lifetime: Duration,
    /// Left of the life when it is time to replace the token.
    refresh_left: Duration,
    /// The answer up to `expires_in`, the secret included.
    head: Vec<u8>,
    /// The answer between `expires_on` and `not_before`.
    middle: String,
    /// The answer from behind `not_before`.
    tail: Vec<u8>,
    rendered: Option<Rendered>,
}

struct Rendered {
    body: Bytes,
    expires_in: u64,
    expires_on: u64,
}

impl Issued {
    pub(super) fn new(key: &Key, granted: &Granted, granted_at: Now, jitter: f64) -> Self {
        let lifetime = granted.expires_in;
        let mut head = br#"{"access_token":"#.to_vec();
        push_json(&mut head, &granted.access_token);
        head.extend_from_slice(br#","client_id":"#);
        push_json(&mut head, &key.client_id);
        head.extend_from_slice(br#","expires_in":""#);
        let ext_expires_in = granted.ext_expires_in.as_secs();
        let middle = format!(r#"","ext_expires_in":"{ext_expires_in}","not_before":""#);
        let mut tail = br#"","resource":"#.to_vec();
        push_json(&mut tail, &key.resource);
        tail.extend_from_slice(br#","token_type":"Bearer"}"#);
        Self {
            granted_at,
            lifetime,
            refresh_left: lifetime - refresh_after(lifetime, granted.refresh_in, jitter),
            head,
            middle,
            tail,
            rendered: None,
        }
    }

    /// What is left of the life. Both clocks count: a machine that slept or was paused, and a wall
    /// clock that was set, may shorten what is left but never lengthen it.
    pub(super) fn left(&self, now: Now) -> Duration {
        let by =
            |granted_at: Duration, now: Duration| (granted_at + self.lifetime).saturating_sub(now);
        by(self.granted_at.boot, now.boot).min(by(self.granted_at.wall, now.wall))
    }

    /// Whether it can still be handed out: IMDS never answers with an `expires_in` of 0 (R9).
    pub(super) fn is_valid(&self, now: Now) -> bool {
        self.left(now) >= Duration::from_secs(1)
    }

    /// How long until it is time to replace it.
    pub(super) fn until_refresh(&self, now: Now) -> Duration {
        self.left(now).saturating_sub(self.refresh_left)
    }

    /// Whether so little is left that a fresh one is worth a short wait (IMDS R9).
    pub(super) fn is_nearly_over(&self, now: Now) -> bool {
        self.left(now) < nearly_over(self.lifetime)
    }

    /// The body of the answer (IMDS R4): keys in order, all values strings. Rendered at most once
    /// a second.
    pub(super) fn body(&mut self, now: Now) -> Bytes {
        let left = self.left(now);
        let expires_in = left.as_secs();
        let expires_on = self.expires_on(now, left);
        match &self.rendered {
            Some(rendered)
                if rendered.expires_in == expires_in && rendered.expires_on == expires_on =>
            {
                rendered.body.clone()
            }
            _ => {
                let body = self.render(expires_in, expires_on);
                self.rendered = Some(Rendered {
                    body: body.clone(),
                    expires_in,
                    expires_on,
                });
                body
            }
        }
    }

    /// The end of the life by the wall clock, which is the clock that applications compare it to.
    /// The same in every answer, unless the clock was set back meanwhile.
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

    fn render(&self, expires_in: u64, expires_on: u64) -> Bytes {
        // Entra dates a token five minutes back, and IMDS passes that on.
        let not_before = expires_on.saturating_sub(self.lifetime.as_secs() + 300);
        let numbers = format!(r#"{expires_in}","expires_on":"{expires_on}"#);
        let not_before = not_before.to_string();
        [
            self.head.as_slice(),
            numbers.as_bytes(),
            self.middle.as_bytes(),
            not_before.as_bytes(),
            &self.tail,
        ]
        .concat()
        .into()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Issued")
            .field("granted_at", &self.granted_at)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

fn push_json(buffer: &mut Vec<u8>, text: &str) {
    // A string always serialises into memory.
    let _ = serde_json::to_writer(buffer, text);
}

/// How far the wall clock may be slewed before `expires_on` follows it.
const TOLERANCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Now = Now {
        boot: Duration::from_secs(1_000),
        wall: Duration::from_secs(1_605_152_324),
    };

    fn issued(lifetime: u64) -> Issued {
        let key = Key {
            client_id: "da95e381-d7ab-4fdc-8047-2457909c723b".into(),
            resource: "https://management.azure.com/".into(),
        };
        let granted = Granted {
            access_token: "eyJ0eXAi\"OiJKV".to_owned(),
            expires_in: Duration::from_secs(lifetime),
            ext_expires_in: Duration::from_secs(86_399),
            refresh_in: None,
        };
        Issued::new(&key, &granted, START, 0.0)
    }

    fn later(boot: i64, wall: i64) -> Now {
        let moved =
            |clock: Duration, by| Duration::from_secs(clock.as_secs().saturating_add_signed(by));
        Now {
            boot: moved(START.boot, boot),
            wall: moved(START.wall, wall),
        }
    }

    fn numbers(issued: &mut Issued, now: Now) -> (u64, u64) {
        let body: serde_json::Value = serde_json::from_slice(&issued.body(now)).unwrap();
        let number = |name: &str| body[name].as_str().unwrap().parse().unwrap();
        (number("expires_in"), number("expires_on"))
    }

    #[test]
    fn r4_the_body_is_that_of_imds() {
        let wanted = r#"{"access_token":"eyJ0eXAi\"OiJKV","client_id":"da95e381-d7ab-4fdc-8047-2457909c723b","expires_in":"86386","expires_on":"1605238723","ext_expires_in":"86399","not_before":"1605152024","resource":"https://management.azure.com/","token_type":"Bearer"}"#;
        assert_eq!(issued(86_399).body(later(13, 13)), wanted);
    }

    #[test]
    fn only_expires_in_moves() {
        let mut issued = issued(3600);
        let end = START.wall.as_secs() + 3600;
        for passed in [0, 1, 2, 600, 3599] {
            let wanted = (3600 - passed as u64, end);
            assert_eq!(numbers(&mut issued, later(passed, passed)), wanted);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_lengthen_the_life() {
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
    fn a_machine_that_slept_has_older_tokens() {
        assert!(!issued(3600).is_valid(later(4000, 60)));
    }

    #[test]
    fn r9_no_answer_says_0_seconds() {
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
