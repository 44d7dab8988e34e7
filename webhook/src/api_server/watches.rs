//! The rate of watches. kube asks again at once for a watch that has ended without an error: an API
//! server, or a proxy in front of it, that ends each one at once would be asked thousands of times a
//! second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The watches of a client, by path.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<HashMap<String, Watch>>);

#[derive(Debug, Default)]
struct Watch {
    /// When the API server began to answer the last one, `None` if it answered with an error.
    opened: Option<Instant>,
    /// How many in succession were short.
    short: u32,
}

impl Watches {
    /// Waits until the watch may be asked for: at once, unless several in succession were short.
    pub(super) async fn turn(&self, path: &str) {
        let pause = self.pause(path);
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }

    /// The API server begins to answer.
    pub(super) fn opened(&self, path: &str) {
        self.lock().entry(path.to_owned()).or_default().opened = Some(Instant::now());
    }

    fn pause(&self, path: &str) -> Duration {
        let mut watches = self.lock();
        let watch = watches.entry(path.to_owned()).or_default();
        // After an error the watcher has waited itself.
        let Some(opened) = watch.opened.take() else {
            return Duration::ZERO;
        };
        if opened.elapsed() >= SHORT {
            watch.short = 0;
            return Duration::ZERO;
        }
        watch.short = watch.short.saturating_add(1);
        match watch.short.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(doublings) => LONGEST.min(FIRST * 2_u32.saturating_pow(doublings)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watch that ends sooner is short. The API server's own limit is minutes.
const SHORT: Duration = Duration::from_secs(10);

/// Short watches that are repeated at once: an API server that restarts, or that has forgotten the
/// version, ends one or two.
const FREE: u32 = 2;

/// The first pause. The next ones are twice as long each, up to [`LONGEST`], as after errors.
const FIRST: Duration = Duration::from_secs(1);

const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/api/v1/serviceaccounts";

    #[tokio::test(start_paused = true)]
    async fn short_watches_are_repeated_ever_more_slowly() {
        let watches = Watches::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let since = Instant::now();
            watches.turn(PATH).await;
            pauses.push(since.elapsed().as_secs());
            watches.opened(PATH);
        }
        assert_eq!(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(watches.pause("/other"), Duration::ZERO);
        watches.opened(PATH);
        sleep(SHORT).await;
        assert_eq!(watches.pause(PATH), Duration::ZERO);
        watches.opened(PATH);
        assert_eq!(
            watches.pause(PATH),
            Duration::ZERO,
            "counted from the start"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_after_an_error_does_not_wait_once_more() {
        let watches = Watches::default();
        for _ in 0..5 {
            watches.pause(PATH);
            watches.opened(PATH);
        }
        assert!(!watches.pause(PATH).is_zero());
        assert!(
            watches.pause(PATH).is_zero(),
            "it was answered with an error"
        );
    }
}
