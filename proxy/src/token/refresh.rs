//! When a token is replaced, and how long the pauses after failures are.

use std::time::Duration;

use super::exchange::ExchangeErrorKind;

/// How long after its grant a token is replaced in the background: at `refresh_in` if Entra gave
/// one, else at half of a lifetime of two hours or more, else eleven minutes before the end, because
/// no token is to be handed out in its last ten minutes (IMDS R9).
///
/// `jitter` from 0 to 1 brings it forward by up to five minutes or a tenth of the delay, so that
/// the pods of a deployment do not all start an exchange at once.
pub(super) fn refresh_after(
    lifetime: Duration,
    refresh_in: Option<Duration>,
    jitter: f64,
) -> Duration {
    let delay = match refresh_in {
        Some(advised) if advised < lifetime => advised,
        _ if lifetime >= LONG => lifetime / 2,
        _ => lifetime - LEAD.min(lifetime / 2),
    };
    delay - (delay / 10).min(MAX_JITTER).mul_f64(jitter.clamp(0.0, 1.0))
}

/// With less than this left, a token is handed out only when no fresh one comes in time (IMDS R9).
/// At most a quarter of the lifetime, so that short-lived tokens can be used.
pub(super) fn nearly_over(lifetime: Duration) -> Duration {
    NEARLY_OVER.min(lifetime / 4)
}

/// Spaces the attempts for one key after failures. Failures of other keys do not count.
#[derive(Debug, Default)]
pub(super) struct Gate {
    failures: u32,
}

impl Gate {
    /// Records a success: the next attempt may start at any time.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Records a failure and returns the pauses before the next attempt.
    ///
    /// `jitter` from 0 to 1 spreads the pauses. Entra refuses all pods of a cluster in the same moment when it
    /// throttles, so they must not come back in the same moment.
    pub(super) fn failed(
        &mut self,
        kind: ExchangeErrorKind,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Pauses {
        let doubled = (FIRST_PAUSE * 2_u32.pow(self.failures.min(4))).min(MAX_PAUSE);
        self.failures += 1;
        let jitter = jitter.clamp(0.0, 1.0);
        let asked = spread(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER), jitter);
        let without_token = match kind {
            ExchangeErrorKind::Permanent => PERMANENT_PAUSE,
            ExchangeErrorKind::Throttled => spread(THROTTLED_PAUSE, jitter),
            ExchangeErrorKind::Transient => TRANSIENT_PAUSE,
        };
        Pauses {
            with_token: doubled.mul_f64(1.0 - jitter / 5.0).max(asked),
            without_token: without_token.max(asked),
        }
    }
}

/// A pause that many clients begin at once, made longer by up to as much again, 10 s at most.
fn spread(pause: Duration, jitter: f64) -> Duration {
    pause + pause.min(MAX_SPREAD).mul_f64(jitter)
}

/// The pauses after a failure. Entra's `Retry-After` is honoured, up to an hour: no pause is shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pauses {
    /// While a valid token can be served: doubles from 5 s to 60 s.
    pub(super) with_token: Duration,
    /// While there is no valid token: 1 to 5 s, in which requests get the last failure.
    pub(super) without_token: Duration,
}

const LONG: Duration = Duration::from_secs(2 * 3600);
const LEAD: Duration = Duration::from_secs(11 * 60);
const MAX_JITTER: Duration = Duration::from_secs(300);
const NEARLY_OVER: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
const MAX_SPREAD: Duration = Duration::from_secs(10);
const PERMANENT_PAUSE: Duration = Duration::from_secs(3);
const THROTTLED_PAUSE: Duration = Duration::from_millis(2_500);
const TRANSIENT_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn replaces_a_token_at_refresh_in_or_half_time_or_before_the_last_ten_minutes() {
        let secs = Duration::from_secs;
        assert_eq!(refresh_after(HOUR, Some(secs(1800)), 0.0), secs(1800));
        assert_eq!(refresh_after(24 * HOUR, None, 0.0), 12 * HOUR);
        assert_eq!(refresh_after(2 * HOUR, None, 0.0), HOUR);
        assert_eq!(refresh_after(HOUR, None, 0.0), secs(3600 - 660));
        assert_eq!(refresh_after(secs(60), None, 0.0), secs(30));
        assert_eq!(refresh_after(HOUR, Some(2 * HOUR), 0.0), secs(3600 - 660));
    }

    #[test]
    fn jitter_only_brings_the_refresh_forward() {
        assert_eq!(refresh_after(24 * HOUR, None, 1.0), 12 * HOUR - MAX_JITTER);
        assert_eq!(
            refresh_after(Duration::from_secs(200), None, 1.0),
            Duration::from_secs(90)
        );
    }

    #[test]
    fn r9_refreshes_before_the_last_ten_minutes() {
        for lifetime in [60, 600, 1200, 3599, 7199, 86_399].map(Duration::from_secs) {
            let left = lifetime - refresh_after(lifetime, None, 0.0);
            assert!(left > nearly_over(lifetime), "{lifetime:?}");
        }
    }

    #[test]
    fn pauses_double_from_5_s_to_60_s_while_a_token_is_served() {
        let mut gate = Gate::default();
        let mut pause = |kind| gate.failed(kind, None, 0.0).with_token.as_secs();
        let pauses: Vec<_> = (0..6)
            .map(|_| pause(ExchangeErrorKind::Transient))
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        gate.succeeded();
        assert_eq!(
            gate.failed(ExchangeErrorKind::Permanent, None, 0.0)
                .with_token
                .as_secs(),
            5
        );
        gate.succeeded();
        assert_eq!(
            gate.failed(ExchangeErrorKind::Permanent, None, 1.0)
                .with_token
                .as_secs(),
            4
        );
    }

    #[test]
    fn repeats_a_failure_for_seconds_while_there_is_no_token() {
        let mut gate = Gate::default();
        let kinds = [ExchangeErrorKind::Permanent, ExchangeErrorKind::Transient];
        for kind in kinds.into_iter().chain([ExchangeErrorKind::Throttled]) {
            for nth in 0..50 {
                let jitter = f64::from(nth) / 49.0;
                let pause = gate.failed(kind, None, jitter).without_token;
                assert!((1..=5).contains(&pause.as_secs()), "{kind:?}: {pause:?}");
            }
        }
    }

    #[test]
    fn honours_retry_after_up_to_an_hour() {
        let pauses = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            let pauses = Gate::default().failed(ExchangeErrorKind::Throttled, retry_after, 0.0);
            (pauses.with_token.as_secs(), pauses.without_token.as_secs())
        };
        assert_eq!(pauses(90), (90, 90));
        assert_eq!(pauses(100_000), (3600, 3600));
    }

    #[test]
    fn clients_that_are_throttled_together_come_back_one_by_one() {
        let pauses = |seconds, jitter| {
            let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds));
            Gate::default().failed(ExchangeErrorKind::Throttled, retry_after, jitter)
        };
        for (retry_after, earliest, latest) in [
            (0, 2_500, 5_000),
            (5, 5_000, 10_000),
            (60, 60_000, 70_000),
            (3_600, 3_600_000, 3_610_000),
        ] {
            let millis = |jitter| pauses(retry_after, jitter).without_token.as_millis();
            assert_eq!((millis(0.0), millis(1.0)), (earliest, latest));
        }
        assert_eq!(pauses(60, 0.5).with_token, Duration::from_secs(65));
    }
}
