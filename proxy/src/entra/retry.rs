//! When a failed attempt is retried within one exchange.

use std::time::Duration;

use super::class::Class;

/// The longest time of one attempt.
pub(super) const ATTEMPT: Duration = Duration::from_secs(5);

/// The pause before the next attempt, or `None` to give up: never shorter than `retry_after`. `attempts` counts
/// those made; `jitter` goes from 0 to 1; `left` is the rest of the budget.
pub(super) fn pause(
    class: Class,
    attempts: usize,
    retry_after: Option<Duration>,
    jitter: f64,
    left: Duration,
) -> Option<Duration> {
    let backoff = PAUSES
        .get(attempts.checked_sub(1)?)?
        .mul_f64(0.8 + jitter / 2.0);
    let pause = match class {
        Class::Permanent => return None,
        // The next attempt reads the file again; a third would read the same token.
        Class::Assertion => return (attempts == 1).then_some(Duration::ZERO),
        Class::Propagation => backoff,
        Class::Throttled | Class::Transient => match retry_after {
            None | Some(Duration::ZERO) => backoff,
            Some(asked) if asked > LONGEST_PAUSE => return None,
            // Other pods are asked to come back at the same time.
            Some(asked) => asked.mul_f64(1.0 + jitter / 2.0).min(LONGEST_PAUSE),
        },
    };
    (pause < left).then_some(pause)
}

const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(800),
    Duration::from_secs(2),
];

/// For a longer pause the application gets the failure, with `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_millis(2_600);

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Duration = crate::token::BUDGET;

    #[test]
    fn tries_transient_failures_four_times() {
        for class in [Class::Transient, Class::Propagation, Class::Throttled] {
            let pauses: Vec<_> = (1..=4)
                .map(|attempts| pause(class, attempts, None, 0.4, LEFT))
                .map(|pause| pause.map(|pause| pause.as_millis()))
                .collect();
            assert_eq!(
                pauses,
                [Some(250), Some(800), Some(2000), None],
                "{class:?}"
            );
        }
    }

    #[test]
    fn does_not_retry_permanent_failures() {
        assert_eq!(pause(Class::Permanent, 1, None, 0.0, LEFT), None);
    }

    #[test]
    fn retries_with_a_new_assertion_once_and_at_once() {
        assert_eq!(
            pause(Class::Assertion, 1, None, 0.0, LEFT),
            Some(Duration::ZERO)
        );
        assert_eq!(pause(Class::Assertion, 2, None, 0.0, LEFT), None);
    }

    #[test]
    fn waits_for_a_short_retry_after_only() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(pause(Class::Throttled, 1, secs(1), 0.0, LEFT), secs(1));
        assert_eq!(pause(Class::Throttled, 1, secs(60), 0.0, LEFT), None);
        assert_eq!(pause(Class::Transient, 1, secs(60), 0.0, LEFT), None);
    }

    #[test]
    fn spreads_clients_that_are_to_come_back_at_the_same_time() {
        let millis = |attempts, seconds, jitter| {
            let retry_after = Some(Duration::from_secs(seconds));
            pause(Class::Throttled, attempts, retry_after, jitter, LEFT).map(|it| it.as_millis())
        };
        assert_eq!(
            [0.0, 1.0].map(|it| millis(1, 1, it)),
            [Some(1000), Some(1500)]
        );
        assert_eq!(
            [0.0, 1.0].map(|it| millis(1, 2, it)),
            [Some(2000), Some(2600)]
        );
        assert_eq!([1, 3].map(|it| millis(it, 0, 0.4)), [Some(250), Some(2000)]);
    }

    #[test]
    fn keeps_the_budget() {
        let left = Duration::from_millis(200);
        assert_eq!(pause(Class::Transient, 1, None, 0.4, left), None);
    }
}
