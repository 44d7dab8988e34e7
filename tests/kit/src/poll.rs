//! Waiting for a condition. Wait for an event where there is one ([`event`], [`changed`]), and ask
//! again and again ([`until`]) where there is none.
//!
//! Every wait has a deadline, and its failure says what was waited for and what was seen last.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;

/// The deadline of every wait that names none. A condition that holds on an idle machine in a second
/// holds on a busy one within a minute.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Waits for a future, at most a minute.
///
/// # Panics
///
/// When the deadline passes.
pub async fn event<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(MINUTE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {MINUTE:?} for {what}"),
    }
}

/// Waits until the value of a channel is as wanted, at most a minute, and returns it.
///
/// # Panics
///
/// When the deadline passes or the sender is dropped: with the last value.
pub async fn changed<T: Clone + Debug>(
    what: &str,
    mut values: watch::Receiver<T>,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let mut waiting = values.clone();
    match tokio::time::timeout(MINUTE, waiting.wait_for(&wanted)).await {
        Ok(Ok(value)) => value.clone(),
        Ok(Err(_)) => panic!("{what} does not come: {:?}", *values.borrow_and_update()),
        Err(_) => panic!(
            "waited {MINUTE:?} for {what}: {:?}",
            *values.borrow_and_update()
        ),
    }
}

/// Asks again and again until the answer is as wanted, at most a minute, and returns it.
///
/// # Panics
///
/// When the deadline passes: with the last answer.
pub async fn until<T: Debug>(
    what: &str,
    ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    until_within(MINUTE, what, ask, wanted).await
}

/// As [`until`], with a deadline of the caller's choice.
///
/// # Panics
///
/// When the deadline passes: with the last answer.
pub async fn until_within<T: Debug>(
    deadline: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let since = tokio::time::Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(
            since.elapsed() < deadline,
            "waited {deadline:?} for {what}: {answer:?}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// A condition did not hold before the deadline.
#[derive(Debug, Error)]
#[error("waited {deadline:?} for {what}: {last}")]
pub struct TimeoutError {
    /// The time from the first call of `ask`.
    pub deadline: Duration,
    /// What was waited for.
    pub what: String,
    /// The last answer, as `Debug` shows it.
    pub last: String,
}

/// As [`until_within`], without a runtime; the caller says what a timeout means.
///
/// # Errors
///
/// When the deadline passes.
pub fn blocking<T: Debug>(
    deadline: Duration,
    what: &str,
    mut ask: impl FnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> Result<T, TimeoutError> {
    let since = Instant::now();
    loop {
        let answer = ask();
        if wanted(&answer) {
            return Ok(answer);
        }
        if since.elapsed() >= deadline {
            return Err(TimeoutError {
                deadline,
                what: what.to_owned(),
                last: format!("{answer:?}"),
            });
        }
        thread::sleep(PAUSE);
    }
}

/// The time between two calls of `ask`.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn until_returns_the_first_wanted_answer() {
        let mut count = 0;
        let ask = async || {
            count += 1;
            count
        };
        assert_eq!(until("three", ask, |count| *count == 3).await, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "waited 60s for the moon: \"cheese\"")]
    async fn until_reports_what_it_saw_last() {
        until("the moon", async || "cheese", |_| false).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "waited 60s for a change: 7")]
    async fn changed_reports_the_last_value() {
        let (_sender, values) = watch::channel(7);
        changed("a change", values, |value| *value > 7).await;
    }

    #[tokio::test]
    async fn changed_returns_the_wanted_value() {
        let (sender, values) = watch::channel(7);
        sender.send(8).unwrap();
        assert_eq!(changed("a change", values, |value| *value > 7).await, 8);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "waited 60s for an event")]
    async fn event_names_what_did_not_come() {
        event("an event", std::future::pending::<()>()).await;
    }

    #[test]
    fn blocking_reports_what_it_saw_last() {
        let error = blocking(Duration::ZERO, "the moon", || 1, |_| false).unwrap_err();
        assert_eq!(error.to_string(), "waited 0ns for the moon: 1");
    }
}
